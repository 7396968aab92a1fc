import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { Dial } from '../../src/upstream/dial.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { allOpen } from '../../src/ways.ts'
import { freePort } from '../fixtures/free-port.ts'
import { recordingLog } from '../fixtures/log.ts'
import { at, to } from '../forward/bench.ts'

function dial(
  t: Test,
  hosts: readonly string[],
  port: number,
  told: (what: Socket | string) => void,
  descriptors = new Descriptors(Number.POSITIVE_INFINITY),
): Dial {
  const { log } = recordingLog()
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
    loop: () => undefined,
    ways: allOpen,
    linkTo: () => undefined,
    dialling: () => {},
    linked: () => t.fail('there is no link'),
    dialled: (_, socket) => told(socket),
    attemptFailed: () => {},
    dialFailed: (_, error) => told(error),
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

/** Listens on 127.0.0.3 and takes nothing: a process that is stopped, with a full backlog, for which the kernel drops SYNs. */
async function silent(t: Test, port: number): Promise<void> {
  const listen = `require('node:net').createServer().listen({ host: '127.0.0.3', port: ${port}, backlog: 1 }, () => console.log('x'))`
  const child = spawn(process.execPath, ['-e', listen], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  for (let i = 0; i < 4; i++) {
    const socket = connect(port, '127.0.0.3').on('error', () => {})
    t.teardown(() => socket.destroy())
  }
  await sleep(50)
}

t.test('beside a silent one the next is tried, with a descriptor that is counted', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  await silent(t, port)
  const descriptors = new Descriptors(Number.POSITIVE_INFINITY)
  const used: number[] = []
  const take = descriptors.take.bind(descriptors)
  descriptors.take = count => {
    take(count)
    used.push(descriptors.used)
  }
  const socket = await new Promise<Socket | string>(resolve =>
    dial(t, ['127.0.0.3', '127.0.0.1'], port, resolve, descriptors),
  )
  t.equal((socket as Socket).remoteAddress, '127.0.0.1')
  t.same(used, [1], "the first one has its connection's")
  t.equal(descriptors.used, 0, 'the silent one is gone')
  ;(socket as Socket).destroy()
})

t.test('with no descriptor left it waits for the silent one alone', async t => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  let accepted = 0
  server.on('connection', () => accepted++)
  await silent(t, port)
  const descriptors = new Descriptors(0)
  const told: (Socket | string)[] = []
  const attempt = dial(t, ['127.0.0.3', '127.0.0.1'], port, what => told.push(what), descriptors)
  await sleep(600)
  t.equal(accepted, 0)
  attempt.expire('no answer')
  t.same(told, [`127.0.0.3:${port}: no answer`])
  t.equal(descriptors.used, 0)
})
