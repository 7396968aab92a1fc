import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Descriptors } from '../../src/descriptors.ts'
import { Dial } from '../../src/forward/dial.ts'
import { Upstream } from '../../src/forward/upstream.ts'
import { recordingLog } from '../fixtures/log.ts'
import { at, freePort, to } from './bench.ts'

function dial(
  t: Test,
  hosts: readonly string[],
  port: number,
  told: (what: Socket | string) => void,
  room = Number.POSITIVE_INFINITY,
): Dial {
  const { log } = recordingLog()
  const descriptors = new Descriptors(room)
  const upstream = new Upstream({
    name: 'web',
    log,
    descriptors,
    resolve: async host => [host],
    knock: () => {
      throw new Error('it is not checked')
    },
    changed: () => {},
  })
  upstream.configure(to(...hosts.map(host => at(host, port))))
  t.teardown(() => upstream.close())
  const dial = new Dial(upstream, 0, {
    linkTo: () => undefined,
    linked: () => t.fail('there is no link'),
    dialled: (_, socket) => told(socket),
    dialFailed: told,
  })
  dial.next()
  return dial
}

const dialled = (t: Test, hosts: readonly string[], port: number) =>
  new Promise<Socket | string>(resolve => dial(t, hosts, port, resolve))

t.test('the next target is tried when one refuses', async t => {
  const server = createServer().listen(0, '127.0.0.3')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const socket = (await dialled(t, ['127.0.0.2', '127.0.0.3'], port)) as Socket
  t.equal(socket.remoteAddress, '127.0.0.3')
  socket.destroy()
})

t.test('with none left it fails, and names each with its reason', async t => {
  const port = await freePort()
  t.equal(
    await dialled(t, ['127.0.0.1', '::1'], port),
    `127.0.0.1:${port}: ECONNREFUSED, [::1]:${port}: ECONNREFUSED`,
  )
})

t.test('a cancelled one says nothing, and leaves no socket', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  dial(t, ['127.0.0.1', '127.0.0.2'], port, () => t.fail('it was cancelled')).cancel()
  const socket = (await dialled(t, ['127.0.0.1'], port)) as Socket
  t.ok(socket.remotePort)
  socket.destroy()
})
