import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1, encodeProxyV2 } from '../../src/proxy/proxy-header.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, dial, eventually, forwarding, links, open, outcome, to } from './bench.ts'

/** An end that was told to stop, as those before it see it. */

const client = { address: '203.0.113.7', port: 50_000 }
const gateway = { address: '10.1.10.1', port: 80 }
const never = new AbortController().signal

/** One that takes PROXY headers; its target answers each connection and ends it. */
async function behind(t: Test, changes: Partial<TcpForwardConfig> = {}) {
  const backend = await Backend.listen(t)
  backend.server.on('connection', socket => socket.end('served'))
  return forwarding(t, [config(backend.port, { acceptProxy: 'any', ...changes })])
}

async function answer(port: number, header: Buffer): Promise<string> {
  const socket = dial(port)
  const ended = outcome(socket)
  socket.end(header)
  const { received, end } = await ended
  return end === 'end' ? received : end
}

const real = encodeProxyV1(client, gateway)
const checks = {
  LOCAL: encodeProxyV2(undefined, undefined, []).bytes,
  UNKNOWN: encodeProxyV1(undefined, undefined),
}

t.test('for drainDelay checks fail and clients are served; then nobody is', async t => {
  const { forwarder, port, status, logged } = await behind(t)
  for (const [name, header] of Object.entries(checks)) t.equal(await answer(port, header), 'served', name)
  const running = await open(port)
  running.write(real)
  await eventually(() => status().active === 1)

  const drained = forwarder.drain(never, 400)
  for (const [name, header] of Object.entries(checks)) t.equal(await answer(port, header), 'ECONNRESET', name)
  t.equal(await answer(port, real), 'served')
  t.match(status().refused, { draining: 2 })
  t.same(logged('listeners closed'), [], 'the delay is not over')

  await eventually(() => logged('listeners closed').length === 1)
  t.equal(await answer(port, real), 'ECONNREFUSED')
  const ended = outcome(running)
  running.end()
  t.same(await ended, { received: 'served', end: 'end' })
  await drained
})

t.test('the delay ends with the drain time', async t => {
  const { forwarder, port } = await behind(t)
  const late = new AbortController()
  const drained = forwarder.drain(late.signal, 3_600_000)
  t.equal(await answer(port, real), 'served')
  late.abort()
  await drained
  t.equal(await answer(port, real), 'ECONNREFUSED')
})

t.test('who has somebody before it', async t => {
  const backend = await Backend.listen(t)
  const hasFront = async (...forwards: TcpForwardConfig[]) =>
    (await forwarding(t, forwards, { tunnel: ['127.0.0.1'] })).forwarder.hasFront
  const plain = config(backend.port)
  t.notOk(await hasFront(plain), 'clients come by themselves')
  t.ok(await hasFront(plain, config(backend.port, { name: 'proxied', acceptProxy: 'v2' })))
  t.ok(await hasFront(config(backend.port, { listen: at('tunnel', await freePort()) })))
})

/** Two ends of ours with a link between them. */
async function linked(t: Test, others: readonly number[] = []) {
  const backend = await Backend.listen(t)
  const [linkPort, port] = [await freePort(), await freePort()]
  const far = await forwarding(
    t,
    [config(backend.port, { listen: at('127.0.0.2', port), acceptProxy: 'any' })],
    { tunnel: ['127.0.0.2'], link: links(linkPort) },
  )
  const upstream = to(at('127.0.0.2', port), ...others.map(other => at('127.0.0.1', other)))
  const near = await forwarding(t, [config(port, { upstream, sendProxy: 'v2' })], {
    link: links(linkPort, ['127.0.0.2']),
  })
  const link = () => near.forwarder.links()[0]!
  await eventually(() => link().state === 'up')
  return { backend, far, near, link }
}

t.test('goaway: what crosses a link goes on, what is new finds another target', async t => {
  const other = await Backend.listen(t)
  const { backend, far, near, link } = await linked(t, [other.port])
  const running = await open(near.port)
  const target = await backend.socket()
  t.ok(far.forwarder.hasFront)

  const drained = far.forwarder.drain(never, 300)
  await eventually(() => link().state === 'down')
  const moved = await open(near.port)
  const read = outcome(moved)
  const socket = await other.socket()
  socket.end('the other one')
  t.equal((await read).received, 'the other one')
  moved.destroy()

  await eventually(() => far.logged('listeners closed').length === 1)
  const ended = outcome(running)
  target.end(Buffer.alloc(1_000_000, 'x'))
  running.end()
  t.match(await ended, { received: /^x{1000000}$/, end: 'end' })
  await drained
})

t.test('goaway with nowhere else to go: clients still come, one by one', async t => {
  const { backend, far, near, link } = await linked(t)
  const drained = far.forwarder.drain(never, 1000)
  await eventually(() => link().state === 'down')
  const running = await open(near.port)
  const read = outcome(running)
  ;(await backend.socket()).end('served')
  t.equal((await read).received, 'served')
  running.end()
  await drained
  t.match(far.logged('connection ended'), [{ end: 'complete' }])
})

t.test('the last bytes that cross a link arrive before it ends', async t => {
  const { backend, far, near } = await linked(t)
  // Half-closed by the client, so that for the far end it is over with the last byte it sends.
  const reader = await open(near.port)
  reader.end()
  const target = await backend.socket()
  target.resume()
  await new Promise(resolve => setTimeout(resolve, 50))
  const drained = far.forwarder.drain(never)
  await eventually(() => far.logged('listeners closed').length === 1)
  target.end(Buffer.alloc(200_000, 'x'))
  await drained
  t.match(await outcome(reader), { received: /^x{200000}$/, end: 'end' })
})
