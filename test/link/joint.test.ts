import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { awaitEnd } from '../../src/link/joint.ts'
import { listening } from './bench.ts'

t.test('a lane on which all has been said is closed when its far end does not close it', async t => {
  const server = createServer({ allowHalfOpen: true })
  const port = await listening(server)
  t.teardown(() => server.close())
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const lane = connect({ port, host: '127.0.0.1', allowHalfOpen: true, autoSelectFamily: false })
  const [far] = await accepted
  far.on('error', () => {}).resume()
  t.teardown(() => far.destroy())
  lane.end()
  const late = once(lane, 'error')
  awaitEnd(lane, 50)
  t.match(await late, [{ message: 'its far end did not close it' }])
  t.ok(lane.destroyed)
})
