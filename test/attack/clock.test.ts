import t, { type Test } from 'tap'
import { isoTime, momentOf, wallTime } from '../../src/clock.ts'
import { Peers } from '../../src/tunnel/peers.ts'
import { KeptLog } from '../tunnel/fake.ts'
import { peer } from '../tunnel/lab.ts'

/** The wall clock is set: an hour forth, an hour back. */
const hour = 3_600_000

/** A wall clock that the test sets, and a clock that nobody sets. */
function clocks(t: Test) {
  const { now } = Date
  const { now: monotonic } = performance
  const state = { shift: 0, later: 0 }
  Date.now = () => now() + state.shift + state.later
  performance.now = () => monotonic.call(performance) + state.later
  t.teardown(() => {
    Date.now = now
    performance.now = monotonic
    wallTime(0)
  })
  return {
    set: (shift: number) => {
      state.shift = shift
    },
    pass: (ms: number) => {
      state.later += ms
    },
  }
}

t.test('what is shown of a moment has its age, whatever the clock says', async t => {
  const clock = clocks(t)
  const moment = performance.now()
  const shown = isoTime(moment)
  clock.pass(1000)
  t.equal(isoTime(moment), shown, 'and does not flicker')
  for (const shift of [hour, -hour, 0]) {
    clock.set(shift)
    const age = Date.now() - wallTime(moment)
    t.ok(age >= 999 && age < 5000, `${age} ms`)
    t.ok(Math.abs(momentOf(wallTime(moment)) - moment) <= 1)
  }
})

for (const shift of [hour, -hour])
  t.test(`a peer is judged by what happens, with the clock ${shift / hour} h off`, async t => {
    const clock = clocks(t)
    const log = new KeptLog()
    const config = peer('ABCDEFGHIJK', ['10.1.10.2/24'])
    const peers = new Peers([config], { log, now: () => performance.now() })
    let bytes = 0
    const sample = (lastHandshake: number) => {
      clock.pass(1000)
      bytes += 1000
      peers.update({
        listenPort: 1,
        fwMark: 0,
        peers: [
          {
            ...{ publicKey: 'ABCDEFGHIJK', endpoint: '192.0.2.1:1', keepalive: 25, allowedIps: [] },
            ...{ lastHandshake, receivedBytes: bytes, sentBytes: bytes },
          },
        ],
      })
    }
    const state = () => peers.status()[0]!.path
    const first = Date.now()
    for (let i = 0; i < 10; i++) sample(first)
    t.equal(state().state, 'up')
    clock.set(shift)
    // More than three minutes after a handshake that is renewed every two, with data all the time.
    for (let i = 0; i < 100; i++) sample(first)
    t.equal(state().state, 'up')
    const renewed = Date.now()
    for (let i = 0; i < 110; i++) sample(renewed)
    t.equal(state().state, 'up')
    t.same(peers.reasons(), [])
    t.equal(state().deaths, 0)
    const age = performance.now() - state().lastAnswer!
    t.ok(age > 100_000 && age < 115_000, `the last answer, a handshake, is ${age} ms old`)
    // And without one, it is over.
    for (let i = 0; i < 100; i++) sample(renewed)
    t.match(peers.reasons(), [{ code: 'one-way', detail: /its last answer is 2\d\d s old/ }])
  })
