import { readdirSync } from 'node:fs'
import t from 'tap'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, dial, eventually, forwarding, open, outcome, plan, to } from './bench.ts'

/** Listeners, several forwards, drain and change. */

const connects = async (port: number, host?: string) =>
  (await outcome(dial(port, host))).end !== 'ECONNREFUSED'

t.test('all addresses serve both families, and an IPv4 client keeps its IPv4 address', async t => {
  const backend = await Backend.listen(t)
  const { port } = await forwarding(t, [config(backend.port, { listen: at('', 0), sendProxy: 'v1' })])
  for (const [host, header] of [
    ['127.0.0.1', /^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 /],
    ['::1', /^PROXY TCP6 ::1 ::1 /],
  ] as const) {
    const socket = await open(port, host)
    socket.end()
    t.match((await outcome(await backend.socket())).received, header)
    socket.destroy()
  }
})

t.test('the tunnel addresses, and only those', async t => {
  const backend = await Backend.listen(t)
  const tunnel = ['127.0.0.2', '127.0.0.3']
  const { port, status } = await forwarding(t, [config(backend.port, { listen: at('tunnel', 0) })], {
    tunnel,
  })
  t.same(
    status().listeners,
    tunnel.map(address => `${address}:${port}`),
  )
  for (const address of tunnel) (await open(port, address)).destroy()
  t.notOk(await connects(port, '127.0.0.1'))
})

t.test('where each connection came from is told, and whether through the tunnel', async t => {
  const backend = await Backend.listen(t)
  const seen: string[] = []
  const { placed } = await forwarding(
    t,
    [
      config(backend.port, { listen: at('tunnel', 0) }),
      config(backend.port, { name: 'public', listen: at('127.0.0.4', 0) }),
    ],
    {
      tunnel: ['127.0.0.2', '::1'],
      seen: (address, throughTunnel) => seen.push(`${address} ${throughTunnel}`),
    },
  )
  const [tunnel, other] = placed.map(({ listen }) => listen.first)
  for (const [port, host, from] of [
    [tunnel!, '127.0.0.2', '127.0.0.77'],
    [tunnel!, '::1', '::1'],
    [other!, '127.0.0.4', '127.0.0.78'],
  ] as const) {
    const socket = await open(port, host, from)
    // The target's connection comes after ours was accepted.
    await backend.socket()
    socket.destroy()
  }
  t.same(seen, ['127.0.0.77 true', '::1 true', '127.0.0.78 false'])
})

t.test('a port range goes to the same ports of the target', async t => {
  const first = await freePort(2)
  const backend = await Backend.listen(t, '127.0.0.4', first)
  const forward = config(first, {
    listen: at('127.0.0.5', first, first + 1),
    upstream: to(at('127.0.0.4', first, first + 1)),
  })
  const { forwarder } = await forwarding(t, [forward])
  const socket = await open(first, '127.0.0.5')
  const target = await backend.socket()
  t.equal(target.localPort, first)
  t.match(await outcome(dial(first + 1, '127.0.0.5')), { end: 'ECONNRESET' }, 'nobody there')
  t.match(forwarder.status()[0], { listeners: [`127.0.0.5:${first}-${first + 1}`] })
  socket.destroy()
  target.destroy()
})

t.test('an address that is taken: what was bound is let go', async t => {
  const backend = await Backend.listen(t)
  const free = await freePort()
  const { forwarder, placed } = await forwarding(t, [config(backend.port)])
  const wanted = [
    ...placed,
    config(backend.port, { name: 'new', listen: at('127.0.0.1', free) }),
    config(backend.port, { name: 'taken', listen: at('127.0.0.1', backend.port) }),
  ]
  await t.rejects(forwarder.prepare(plan(wanted)), {
    code: 'LISTEN_FAILED',
    message: /cannot listen on 127\.0\.0\.1:\d+: the port is in use/,
    fix: /ss -lntup/,
  })
  t.notOk(await connects(free))
  t.same(
    forwarder.status().map(({ name }) => name),
    ['web'],
  )
})

t.test('drain: no new connection, running ones finish, the rest is reset in the end', async t => {
  const backend = await Backend.listen(t)
  const { forwarder, port, logged } = await forwarding(t, [config(backend.port)])
  const finishing = await open(port)
  const target = await backend.socket()
  const hanging = await open(port)
  await backend.socket()
  const late = new AbortController()
  const drained = forwarder.drain(late.signal)
  await eventually(() => logged('listeners closed').length > 0)
  t.notOk(await connects(port))
  target.end('the rest')
  const whole = outcome(finishing)
  finishing.end()
  t.same(await whole, { received: 'the rest', end: 'end' })
  await eventually(() => forwarder.active === 1)
  const cut = outcome(hanging)
  late.abort()
  await drained
  t.equal((await cut).end, 'ECONNRESET')
  t.equal(forwarder.active, 0)
  t.match(logged('connection ended'), [{ end: 'complete' }, { end: 'drain-timeout' }])
})

t.test('drain resets a client that has not sent its header', async t => {
  const backend = await Backend.listen(t)
  const { forwarder, port, status, logged } = await forwarding(t, [
    config(backend.port, { acceptProxy: 'any' }),
  ])
  const seen = outcome(await open(port))
  await eventually(() => status().active === 1)
  await forwarder.drain(AbortSignal.abort())
  t.equal((await seen).end, 'ECONNRESET')
  t.match(logged('connection refused'), [{ reason: 'draining' }])
})

t.test('a forward that is taken out: its listener closes, its connection gets the drain time', async t => {
  const backend = await Backend.listen(t)
  const { forwarder, port, placed } = await forwarding(t, [
    config(backend.port),
    config(backend.port, { name: 'other' }),
  ])
  const socket = await open(port)
  const target = await backend.socket()
  const change = await forwarder.prepare(plan(placed.slice(1), [], 60_000))
  change.commit()
  t.notOk(await connects(port))
  t.same(
    forwarder.status().map(({ name }) => name),
    ['other'],
  )
  t.equal(forwarder.active, 1)
  t.equal(forwarder.connections().length, 1)
  target.end('done')
  const seen = outcome(socket)
  socket.end()
  t.same(await seen, { received: 'done', end: 'end' })
  await eventually(() => forwarder.active === 0)
})

t.test('a change that is rolled back leaves everything as it was', async t => {
  const backend = await Backend.listen(t)
  const { forwarder, port, placed } = await forwarding(t, [config(backend.port)])
  const free = await freePort()
  const moved = [{ ...placed[0]!, listen: at('127.0.0.1', free) }]
  const change = await forwarder.prepare(plan(moved))
  await change.rollback()
  t.notOk(await connects(free))
  const socket = await open(port)
  t.ok(await backend.socket())
  socket.destroy()
})

t.test('1,000 connections cut at random moments leave nothing behind', { timeout: 60_000 }, async t => {
  const backend = await Backend.listen(t)
  backend.server.removeAllListeners('connection')
  backend.server.on('connection', socket => {
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  const { port, status, forwarder } = await forwarding(t, [config(backend.port, { sendProxy: 'v2' })])
  const files = () => readdirSync('/proc/self/fd').length
  const before = files()
  // A fixed sequence, so that a failure can be seen again.
  let seed = 7
  const random = () => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff
    return seed / 0x80000000
  }
  const one = async () => {
    const socket = dial(port)
    if (random() < 0.5) socket.write(Buffer.alloc(Math.floor(random() * 100_000)))
    socket.resume()
    await new Promise(resolve => setTimeout(resolve, random() * 20))
    const how = random()
    if (how < 0.4) socket.resetAndDestroy()
    else if (how < 0.8) socket.destroy()
    else socket.end()
    if (how >= 0.8) await new Promise(resolve => socket.once('close', resolve).once('end', resolve))
  }
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 50 }, one))
  await eventually(() => status().active === 0 && files() <= before)
  t.same(forwarder.connections(), [])
  t.ok(files() <= before)
  t.ok(status().accepted > 0 && status().accepted <= 1_000)
})
