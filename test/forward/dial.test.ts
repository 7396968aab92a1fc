import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { Dial } from '../../src/forward/dial.ts'
import { freePort } from './bench.ts'

const dial = (addresses: readonly string[], port: number) =>
  new Promise<Socket | Error>(resolve => new Dial(addresses, port, resolve, resolve))

t.test('the next address is tried when one refuses', async t => {
  const server = createServer().listen(0, '127.0.0.3')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const socket = (await dial(['127.0.0.2', '127.0.0.3'], port)) as Socket
  t.equal(socket.remoteAddress, '127.0.0.3')
  socket.destroy()
})

t.test('with none left it fails, and names each with its reason', async t => {
  const port = await freePort()
  t.match(await dial(['127.0.0.1', '::1'], port), {
    code: 'DIAL_FAILED',
    message: `127.0.0.1:${port}: ECONNREFUSED, [::1]:${port}: ECONNREFUSED`,
  })
})

t.test('a cancelled one says nothing, and leaves no socket', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const said = () => t.fail('it was cancelled')
  const cancelled = new Dial(['127.0.0.1', '127.0.0.2'], port, said, said)
  cancelled.cancel()
  const socket = (await dial(['127.0.0.1'], port)) as Socket
  t.ok(socket.remotePort)
  socket.destroy()
})
