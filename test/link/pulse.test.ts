import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { onBeat } from '../../src/link/beat.ts'
import { frame } from '../../src/link/frame.ts'
import { Pulse } from '../../src/link/pulse.ts'

/** The pulse of a link on a clock that the test moves, the frames that it has sent, and when it has pinged, in milliseconds. */
function pulseOf(t: Test, { isDialled, streams = 0 }: { isDialled: boolean; streams?: number }) {
  mock.timers.enable({ apis: ['setInterval', 'setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let now = 0
  t.intercept(performance, 'now', { value: () => now })
  const sent: number[] = []
  const pings: number[] = []
  const send = (_: number, type: number) => {
    sent.push(type)
    if (type === frame.ping) pings.push(Math.round(now))
  }
  const owner = { remoteAddress: '10.1.10.2', streams, send, close() {} }
  const pulse = new Pulse(owner, undefined, isDialled)
  t.teardown(() => pulse.stop())
  return {
    ...{ pulse, owner, sent, pings },
    /** Each ping is answered at once. */
    pass(seconds: number) {
      for (const end = now + 1000 * seconds; now < end; ) {
        now += 20
        mock.timers.tick(20)
        if (pings.at(-1) === now) pulse.answered()
      }
    },
    late: (ms: number) => (now += ms),
  }
}

t.test('a link without streams is asked every four seconds, one with streams every second', async t => {
  const { pulse, owner, pings, pass, late } = pulseOf(t, { isDialled: true })
  pass(10.5)
  t.same(pings.splice(0), [1000, 5000, 9000], 'the first one at once')
  owner.streams = 1
  pass(3)
  t.same(pings.splice(0), [11_000, 12_000, 13_000])
  owner.streams = 0
  pass(3)
  t.same(pings, [])
  pulse.ask()
  t.same(pings.splice(0), [16_500], 'a stream is opened')
  pulse.answered()
  pass(4)
  t.same(pings.splice(0), [20_000])
  pass(3.4)
  late(40)
  pass(0.2)
  t.same(pings.splice(0), [24_040], 'this beat was late')
  pass(4)
  t.same(pings, [28_000], 'and the next one is not')
})

t.test('one that the far end has dialled is asked every five: the far end asks before that', async t => {
  const { pings, pass } = pulseOf(t, { isDialled: false })
  pass(11.5)
  t.same(pings, [1000, 6000, 11_000])
})

t.test('one without streams that is being ended is asked all the time', async t => {
  const { pulse, pings, pass } = pulseOf(t, { isDialled: true })
  pass(1)
  pulse.ending()
  pass(0.5)
  t.same(pings.splice(0), [1000, 1100, 1200, 1300, 1400, 1500])
  pulse.hasBulk = true
  pulse.hasBulk = false
  pass(0.3)
  t.same(pings, [1600, 1700, 1800], 'also when the last of its streams that are promoted ends meanwhile')
})

t.test('a ping goes along with the answer to that of the far end, unless there was one of late', async t => {
  const { pulse, sent, late } = pulseOf(t, { isDialled: false })
  late(2000)
  pulse.asked()
  t.strictSame(sent.splice(0), [frame.pong, frame.ping])
  late(2000)
  pulse.asked()
  t.strictSame(sent.splice(0), [frame.pong], 'the last one is still unanswered')
  pulse.answered()
  pulse.asked()
  t.strictSame(sent.splice(0), [frame.pong, frame.ping])
  pulse.answered()
  pulse.asked()
  t.strictSame(sent.splice(0), [frame.pong])
})

t.test('a link that fails at a beat leaves the others theirs', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  t.intercept(performance, 'now', { value: () => 0 })
  const thrown = new Promise(resolve => {
    t.intercept(process, 'nextTick', {
      value: (work: () => void) => {
        try {
          work()
        } catch (error) {
          resolve(error)
        }
      },
    })
  })
  const fault = new Error('a fault')
  let beats = 0
  const stops = [
    onBeat(() => {
      throw fault
    }),
    onBeat(() => beats++),
  ]
  mock.timers.tick(1000)
  for (const stop of stops) stop()
  t.equal(beats, 1)
  t.equal(await thrown, fault, 'and it is told')
})

t.test('all links have one beat, until the last one has ended', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  let now = 300
  t.intercept(performance, 'now', { value: () => now })
  const beats: string[] = []
  const stops = ['a', 'b'].map(name => onBeat(() => beats.push(`${name} ${now}`)))
  const pass = (ms: number) => {
    for (const end = now + ms; now < end; ) {
      now += 20
      mock.timers.tick(20)
    }
  }
  pass(2000)
  t.strictSame(beats.splice(0), ['a 1000', 'b 1000', 'a 2000', 'b 2000'])
  stops[0]!()
  pass(1000)
  t.strictSame(beats.splice(0), ['b 3000'])
  stops[1]!()
  pass(2000)
  t.strictSame(beats, [])
})
