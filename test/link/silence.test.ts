import { createServer, type Socket } from 'node:net'
import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { FrameReader, frame } from '../../src/link/frame.ts'
import { defaults, encodeGreeting, greetingKind, greetingLength } from '../../src/link/greeting.ts'
import { Links } from '../../src/link/links.ts'
import { type PingWitness, Pulse } from '../../src/link/pulse.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, unattended } from './bench.ts'

const pong = Buffer.from([0, 0, 0, 0, frame.pong, 0, 0, 0])

/** A far end that answers pings while it is told to. */
async function farEnd() {
  let isSilent = false
  let owed: Socket | undefined
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('end', () => !isSilent && socket.end())
    const reader = new FrameReader({
      part() {},
      control(_, type) {
        if (type !== frame.ping) return
        if (isSilent) owed = socket
        else socket.write(pong)
      },
    })
    let greeted = 0
    socket.on('data', chunk => {
      if (greeted === 0)
        socket.write(encodeGreeting({ ...defaults, kind: greetingKind.link, token: Buffer.alloc(16) }))
      const own = Math.min(chunk.length, greetingLength - greeted)
      greeted += own
      reader.read(chunk.subarray(own))
    })
  })
  return {
    port: await listening(server),
    silence() {
      isSilent = true
    },
    /** Answers the ping that it has left unanswered. */
    speak() {
      isSilent = false
      owed?.write(pong)
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

t.test('a far end that falls silent gets no new connections within a second', async t => {
  const far = await farEnd()
  const { log } = recordingLog()
  const links = new Links({ ...unattended(), log })
  links.configure({
    port: far.port,
    perPeer: 1,
    ports: new Set(),
    addresses: new Set(['127.0.0.1']),
    trusted: [],
  })
  t.teardown(async () => {
    links.drain()
    await links.close(AbortSignal.abort())
    far.close()
  })
  await eventually(() => links.status()[0]?.rtt !== undefined)
  far.silence()
  const began = performance.now()
  for (let session = links.to('127.0.0.1'); session !== undefined; session = links.to('127.0.0.1')) {
    session.open(80, Buffer.from('header'))
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  const noticed = performance.now() - began
  t.ok(noticed > 400 && noticed < 1500, `noticed after ${Math.round(noticed)} ms`)
  far.speak()
  await eventually(() => links.to('127.0.0.1') !== undefined)
})

for (const silent of [true, false])
  t.test(
    silent ? 'a far end that is gone does not hold up the end' : 'one that is there is waited for',
    async t => {
      const far = await farEnd()
      t.teardown(() => far.close())
      const { log, lines } = recordingLog()
      const links = new Links({ ...unattended(), log })
      links.configure({
        port: far.port,
        perPeer: 1,
        ports: new Set(),
        addresses: new Set(['127.0.0.1']),
        trusted: [],
      })
      await eventually(() => links.status()[0]?.rtt !== undefined)
      if (silent) far.silence()
      const signal = AbortSignal.timeout(30_000)
      await links.close(signal)
      t.notOk(signal.aborted)
      const why = silent ? 'no answer for 2.5 s' : 'the other end closed it'
      t.match(lines.at(-1), ['info', { why }, 'link down'])
      links.drain()
    },
  )

t.test(
  'pings tell of the path: each answer, and one that has been missing for 15 s, with when it was sent',
  async t => {
    let passed = 0
    const real = performance.now.bind(performance)
    t.intercept(performance, 'now', { value: () => real() + passed })
    const seen: string[] = []
    const left: number[] = []
    const witness: PingWitness = {
      answered: address => void seen.push(`answered ${address}`),
      leftPing: (address, sentAt) => {
        seen.push(`left ${address}`)
        left.push(sentAt)
      },
    }
    let pings = 0
    const owner = { remoteAddress: '10.1.10.2', streams: 1, send: () => void pings++, close: () => {} }
    const pulse = new Pulse(owner, witness)
    t.teardown(() => pulse.stop())
    // Bulk makes the beats quick.
    pulse.hasBulk = true
    await eventually(() => pings === 1)
    pulse.answered()
    await eventually(() => pings === 2)
    const sentAt = real()
    passed = 14_000
    await new Promise(resolve => setTimeout(resolve, 250))
    t.strictSame(seen, ['answered 10.1.10.2'])
    passed = 15_000
    await eventually(() => seen.includes('left 10.1.10.2'))
    t.ok(Math.abs(left[0]! - sentAt) < 1000)
    pulse.answered()
    t.equal(seen.at(-1), 'answered 10.1.10.2')
  },
)

/** The pulse of a link, on a clock that the test moves, and when it has pinged, in milliseconds. */
function pulseOf(t: Test, owner: { streams: number }) {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  let now = 0
  t.intercept(performance, 'now', { value: () => now })
  const pings: number[] = []
  const send = () => void pings.push(Math.round(now))
  const pulse = new Pulse(Object.assign(owner, { remoteAddress: '10.1.10.2', send, close() {} }), undefined)
  t.teardown(() => pulse.stop())
  return {
    pulse,
    pings,
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

t.test('a link without streams is asked every five seconds, one with streams every second', async t => {
  const owner = { streams: 0 }
  const { pulse, pings, pass, late } = pulseOf(t, owner)
  pass(10.5)
  t.same(pings.splice(0), [1000, 6000], 'the first one at once')
  owner.streams = 1
  pass(3)
  t.same(pings.splice(0), [11_000, 12_000, 13_000])
  owner.streams = 0
  pass(4)
  t.same(pings, [])
  pulse.ask()
  t.same(pings.splice(0), [17_500], 'a stream is opened')
  pulse.answered()
  pass(5)
  t.same(pings.splice(0), [22_000])
  pass(4.4)
  late(300)
  pass(0.2)
  t.same(pings.splice(0), [27_300], 'this timer was late')
  late(-300)
  pass(5)
  t.same(pings, [32_000], 'and the next one is not')
})

t.test('one without streams that is being ended is asked all the time', async t => {
  const { pulse, pings, pass } = pulseOf(t, { streams: 0 })
  pass(1)
  pulse.ending()
  pass(0.5)
  t.same(pings.splice(0), [1000, 1100, 1200, 1300, 1400, 1500])
  pulse.hasBulk = true
  pulse.hasBulk = false
  pass(0.3)
  t.same(pings, [1600, 1700, 1800], 'also when the last of its streams that are promoted ends meanwhile')
})
