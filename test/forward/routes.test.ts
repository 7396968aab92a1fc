import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { RouteConfig, TcpForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV2, parseProxyHeader } from '../../src/proxy/proxy-header.ts'
import { tlvType } from '../../src/proxy/tlv.ts'
import { ServerNames } from '../../src/upstream/server-names.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, dial, eventually, forwarding, open, outcome, to } from './bench.ts'
import { grease, helloFor, keyShare, message, records, serverNames } from './hello.ts'

/** Routes by the server name in a ClientHello. */

const client = { address: '203.0.113.7', port: 50_000 }
const gateway = { address: '203.0.113.1', port: 443 }
const timeouts = { connect: 5_000, header: 5_000, idle: 0, halfClosed: 300_000 }
const none = { targets: [], balance: 'first', check: 'passive' } as const

const route = (name: string, ...ports: number[]): RouteConfig => ({
  name,
  upstream: to(...ports.map(port => at('127.0.0.1', port))),
})

/** Backends for `www.example.com`, for all below `example.com`, and for the rest. */
async function world(t: Test, changes: Partial<TcpForwardConfig> = {}) {
  const [www, below, rest] = [await Backend.listen(t), await Backend.listen(t), await Backend.listen(t)]
  const routes = [route('www.example.com', www.port), route('*.example.com', below.port)]
  const bench = await forwarding(t, [config(rest.port, { routes, ...changes })])
  return { ...bench, www, below, rest }
}

type World = Awaited<ReturnType<typeof world>>

/** Sends the pieces one by one, and checks that they reach that backend as they are, with what comes behind. */
async function reaches(t: Test, { port }: World, backend: Backend, ...pieces: Buffer[]): Promise<void> {
  const socket = await open(port)
  for (const piece of pieces) {
    socket.write(piece)
    if (pieces.length < 50) await new Promise(resolve => setTimeout(resolve, 2))
    else await new Promise(setImmediate)
  }
  const served = await backend.socket()
  served.write('an answer')
  t.equal((await once(socket, 'data')).toString(), 'an answer')
  socket.end('the end')
  const { received } = await outcome(served)
  t.ok(
    Buffer.concat([...pieces, Buffer.from('the end')]).equals(Buffer.from(received, 'latin1')),
    'untouched',
  )
  served.end()
  await once(socket, 'close')
}

t.test('names: exact first, then the nearest wildcard; one label or more', async t => {
  const names = new ServerNames([
    ['example.com', 'bare'],
    ['www.example.com', 'exact'],
    ['*.example.com', 'below'],
    ['*.a.example.com', 'nearer'],
    ['*.com', 'far'],
  ])
  for (const [name, found] of [
    ['example.com', 'bare'],
    ['www.example.com', 'exact'],
    ['mail.example.com', 'below'],
    ['x.y.z.example.com', 'below'],
    ['a.example.com', 'below'],
    ['b.a.example.com', 'nearer'],
    ['other.com', 'far'],
    ['com', undefined],
    ['badexample.org', undefined],
    ['', undefined],
  ] as const)
    t.equal(names.find(name), found, name)
  t.equal(
    new ServerNames([['*.example.com', 1]]).find('example.com'),
    undefined,
    'not the name below the star',
  )
})

t.test('each name to its target, the rest to the other', async t => {
  const bench = await world(t)
  const { www, below, rest } = bench
  await reaches(t, bench, www, helloFor('www.example.com'))
  await reaches(t, bench, www, helloFor('WWW.Example.Com.'))
  await reaches(t, bench, below, helloFor('a.b.example.com'))
  await reaches(t, bench, rest, helloFor('example.org'))
  await reaches(t, bench, rest, records(message([...grease, keyShare])))
  await reaches(t, bench, rest, Buffer.from('GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n'))
  t.match(bench.logged('connection ended').slice(0, 4), [
    { serverName: 'www.example.com' },
    { serverName: 'www.example.com' },
    { serverName: 'a.b.example.com' },
    { serverName: 'example.org' },
  ])
})

t.test('a hello in single bytes, in two at every hundredth byte, and in small records', async t => {
  const bench = await world(t)
  const hello = helloFor('www.example.com')
  await reaches(t, bench, bench.www, ...Array.from(hello, byte => Buffer.from([byte])))
  for (let cut = 1; cut < hello.length; cut += 100)
    await reaches(t, bench, bench.www, hello.subarray(0, cut), hello.subarray(cut))
  const small = records(message([serverNames('a.example.com')]), 7)
  await reaches(t, bench, bench.below, small.subarray(0, 30), small.subarray(30))
})

t.test('a hello with more behind it, and one as long as it may be', async t => {
  const bench = await world(t)
  await reaches(t, bench, bench.www, Buffer.concat([helloFor('www.example.com'), Buffer.alloc(100_000, 7)]))
  const pad = Buffer.alloc(16_384 - message([serverNames('www.example.com'), grease[0]!]).length, 0)
  const long = message([
    serverNames('www.example.com'),
    Buffer.concat([Buffer.from([0, 21, pad.length >> 8, pad.length & 255]), pad]),
  ])
  t.equal(long.length, 16_384)
  await reaches(t, bench, bench.www, records(long, 1000))
})

t.test('behind a PROXY header: in one piece with it, and cut everywhere', async t => {
  const bench = await world(t, { acceptProxy: 'v2' })
  const { bytes } = encodeProxyV2(client, gateway, [])
  const hello = helloFor('www.example.com')
  const all = Buffer.concat([bytes, hello])
  for (const cut of [1, bytes.length - 1, bytes.length, bytes.length + 1, bytes.length + 5, all.length - 1]) {
    const socket = await open(bench.port)
    socket.write(all.subarray(0, cut))
    await new Promise(resolve => setTimeout(resolve, 5))
    socket.end(all.subarray(cut))
    const { received } = await outcome(await bench.www.socket())
    t.ok(hello.equals(Buffer.from(received, 'latin1')), `cut at ${cut}`)
    socket.destroy()
  }
})

t.test('AUTHORITY carries the name; one that was there is kept', async t => {
  const bench = await world(t, { sendProxy: 'v2' })
  const authorityOf = async (backend: Backend) => {
    const { received } = await outcome(await backend.socket())
    const header = parseProxyHeader(Buffer.from(received, 'latin1'), 'v2')!
    return header.tlvs.filter(({ type }) => type === tlvType.AUTHORITY).map(({ value }) => value.toString())
  }
  const send = async (port: number, ...bytes: Buffer[]) => (await open(port)).end(Buffer.concat(bytes))
  await send(bench.port, helloFor('WWW.example.com'))
  t.same(await authorityOf(bench.www), ['www.example.com'])
  await send(bench.port, helloFor('other.example'))
  t.same(await authorityOf(bench.rest), ['other.example'], 'also where no route has it')
  await send(bench.port, Buffer.from('not TLS'))
  t.same(await authorityOf(bench.rest), [])
  const second = await world(t, { acceptProxy: 'v2', sendProxy: 'v2' })
  const earlier = { type: tlvType.AUTHORITY, value: Buffer.from('asked.example') }
  await send(second.port, encodeProxyV2(client, gateway, [earlier]).bytes, helloFor('www.example.com'))
  t.same(await authorityOf(second.www), ['asked.example'])
})

t.test('without a target: only what a route has is served', async t => {
  const bench = await world(t, { upstream: none })
  await reaches(t, bench, bench.www, helloFor('www.example.com'))
  for (const [bytes, detail] of [
    [helloFor('example.org'), 'example.org'],
    [records(message([...grease])), 'no server name'],
    [Buffer.from('GET /'), /^not TLS: a record of type 71/],
    [Buffer.from([0x80, 0x2e, 1, 3, 1]), /^not TLS: a record of type 128/],
  ] as const) {
    const socket = dial(bench.port)
    socket.write(bytes)
    t.match(await outcome(socket), { received: '', end: 'ECONNRESET' })
    await eventually(() => bench.status().active === 0)
    t.match(bench.logged('connection refused').at(-1), { reason: 'no-route', detail })
  }
  t.equal(bench.status().refused['no-route'], 4)
})

t.test('a client that ends before its hello does: to the target, or reset', async t => {
  const bench = await world(t)
  for (const bytes of [Buffer.alloc(0), helloFor('www.example.com').subarray(0, 100)]) {
    const socket = await open(bench.port)
    socket.end(bytes)
    const served = await bench.rest.socket()
    t.equal((await outcome(served)).received.length, bytes.length)
    served.end()
    await once(socket, 'close')
  }
  const strict = await world(t, { upstream: none })
  const socket = await open(strict.port)
  socket.end(helloFor('www.example.com').subarray(0, 100))
  t.match(await outcome(socket), { end: 'ECONNRESET' })
  t.match(strict.logged('connection refused'), [
    { reason: 'no-route', detail: /ended before its ClientHello/ },
  ])
})

t.test('a client that is silent, or stops inside its hello, is reset at the deadline', async t => {
  const bench = await world(t, { timeouts: { ...timeouts, header: 150 } })
  for (const bytes of [undefined, helloFor('www.example.com').subarray(0, 700)]) {
    const socket = dial(bench.port)
    if (bytes !== undefined) socket.write(bytes)
    t.match(await outcome(socket), { received: '', end: 'ECONNRESET' })
  }
  await eventually(() => bench.status().active === 0)
  t.equal(bench.status().refused['hello-timeout'], 2)
  t.match(bench.logged('connection refused').at(-1), { detail: 'no whole ClientHello within 150 ms' })
})

t.test('a client that vanishes inside its hello', async t => {
  const bench = await world(t)
  const socket = await open(bench.port)
  socket.write(helloFor('www.example.com').subarray(0, 50))
  await eventually(() => bench.status().active === 1)
  socket.resetAndDestroy()
  await eventually(() => bench.status().active === 0)
  t.match(bench.logged('connection ended'), [{ end: 'client-reset' }])
})

t.test('the drain time ends while a hello is awaited', async t => {
  const bench = await world(t)
  const socket = await open(bench.port)
  socket.write(helloFor('www.example.com').subarray(0, 50))
  await eventually(() => bench.status().active === 1)
  await bench.forwarder.drain(AbortSignal.abort())
  t.match(await outcome(socket), { end: 'ECONNRESET' })
  t.match(bench.logged('connection refused'), [{ reason: 'draining' }])
})

t.test('routes that change while a hello is awaited: those of now count', async t => {
  const bench = await world(t)
  const hello = helloFor('www.example.com')
  const [first, second] = [await open(bench.port), await open(bench.port)]
  for (const socket of [first, second]) socket.write(hello.subarray(0, 50))
  await eventually(() => bench.status().active === 2)
  const change = async (routes: readonly RouteConfig[]) => {
    const forwards = [{ ...bench.placed[0]!, routes }]
    const plan = { forwards, tunnelAddresses: [], drainTimeout: 1, link: undefined, peers: [] }
    ;(await bench.forwarder.prepare(plan)).commit()
  }
  await change([route('www.example.com', bench.below.port)])
  first.write(hello.subarray(50))
  t.ok(await bench.below.socket(), 'another target')
  await change([])
  second.write(hello.subarray(50))
  t.ok(await bench.rest.socket(), 'no routes any more')
  for (const socket of [first, second]) socket.destroy()
})

t.test('deny and limits come before the hello', async t => {
  const bench = await world(t, { limits: { deny: [{ address: '127.0.0.0', bits: 8, family: 4 }] } })
  t.match(await outcome(dial(bench.port)), { end: 'ECONNRESET' }, 'at once, with nothing sent')
  const few = await world(t, { limits: { maxConnections: 1 } })
  const first = await open(few.port)
  await eventually(() => few.status().active === 1)
  t.match(await outcome(dial(few.port)), { end: 'ECONNRESET' })
  first.destroy()
})

t.test('a check goes to the target; without one it is answered for the routes', async t => {
  const local = encodeProxyV2(undefined, undefined, []).bytes
  const bench = await world(t, { acceptProxy: 'v2', sendProxy: 'v2' })
  const check = await open(bench.port)
  check.write(local)
  const served = await bench.rest.socket()
  t.match((await once(served, 'data')).at(0), local)
  check.destroy()
  const routed = await world(t, { acceptProxy: 'v2', sendProxy: 'v2', upstream: none })
  const other = await open(routed.port)
  other.write(local)
  t.ok(await routed.www.socket(), 'one of the routes')
  other.destroy()
  const gone = await freePort()
  const down = await world(t, { acceptProxy: 'v2', upstream: none, routes: [route('a.example', gone)] })
  for (let i = 0; i < 2; i++) {
    const last = dial(down.port)
    last.write(local)
    t.match(await outcome(last), { end: 'ECONNRESET' })
  }
})

t.test("several targets for a name; one that is down is another name's no trouble", async t => {
  const backend = await Backend.listen(t)
  const gone = await freePort()
  const { port, status, forwarder } = await forwarding(t, [
    config(backend.port, { routes: [route('a.example', gone, backend.port), route('b.example', gone)] }),
  ])
  const a = await open(port)
  a.end(helloFor('a.example'))
  t.ok((await backend.socket()).remotePort, 'the second one')
  const b = dial(port)
  b.write(helloFor('b.example'))
  t.match(await outcome(b), { end: 'ECONNRESET' })
  await eventually(() => forwarder.reasons().length > 0)
  const [reason] = forwarder.reasons()
  t.match(reason, { code: 'backend-down', detail: /^forward web: no target for b.example takes connections/ })
  t.equal(reason?.forward, undefined, 'the forward itself serves others')
  t.match(status().targets, [
    { address: `127.0.0.1:${backend.port}` },
    { routes: ['a.example'], state: 'down' },
    { routes: ['a.example'], state: 'up' },
    { routes: ['b.example'], state: 'down' },
  ])
  a.destroy()
})

t.test('names with the same target share it, and what is known of it, over a change, too', async t => {
  const [one, two] = [await Backend.listen(t), await Backend.listen(t)]
  const before = config(one.port, {
    routes: [route('a.example', two.port), route('b.example', two.port), route('c.example', one.port)],
  })
  const bench = await forwarding(t, [before])
  const targets = () => bench.status().targets.map(({ address, routes, state }) => [address, routes, state])
  t.same(targets(), [
    [`127.0.0.1:${one.port}`, ['c.example'], 'unknown'],
    [`127.0.0.1:${two.port}`, ['a.example', 'b.example'], 'unknown'],
  ])
  const socket = await open(bench.port)
  socket.write(helloFor('b.example'))
  await two.socket()
  await eventually(() => targets()[1]![2] === 'up')
  const after = {
    ...bench.placed[0]!,
    routes: [route('b.example', two.port), route('d.example', one.port, two.port)],
  }
  const change = await bench.forwarder.prepare({
    forwards: [after],
    tunnelAddresses: [],
    drainTimeout: 1,
    peers: [],
    link: undefined,
  })
  change.commit()
  t.same(targets(), [
    [`127.0.0.1:${one.port}`, undefined, 'unknown'],
    [`127.0.0.1:${two.port}`, ['b.example'], 'up'],
    [`127.0.0.1:${one.port}`, ['d.example'], 'unknown'],
    [`127.0.0.1:${two.port}`, ['d.example'], 'unknown'],
  ])
  socket.destroy()
})
