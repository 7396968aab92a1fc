import t from 'tap'
import { eventually } from '../link/bench.ts'
import { bytes, dialLink, frame, open, pour, repeated } from './far-end.ts'
import { victim } from './loopback.ts'

/** A far end that asks, reads no answer, and goes on opening streams until its link is cut. */

t.test('no stream outlives the link that is cut for what was left unread', { timeout: 60_000 }, async t => {
  const { evil, inner, forwarder, logged } = await victim(t)
  const { socket } = await dialLink(evil)
  const pings = Buffer.concat([...repeated(bytes(0, frame.ping), 300)])
  const pieces = function* () {
    // A few are open at any time, and some are being opened when the link is cut.
    for (let id = 9; id < 20_000; id++)
      yield Buffer.concat([pings, open(id, inner), bytes(id - 8, frame.reset, Buffer.from([0]))])
  }
  await pour(socket, pieces())
  await eventually(() => logged('link down').length > 0)
  t.match(logged('link down'), [{ why: '8388608 bytes were left unread' }])
  await new Promise(resolve => setTimeout(resolve, 500))
  t.equal(forwarder.active, 0)
})
