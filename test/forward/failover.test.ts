import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import type { Arrival } from '../../src/link/acceptor.ts'
import { Links } from '../../src/link/links.ts'
import { parseProxyHeader } from '../../src/proxy/proxy-header.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { socketOptions } from '../../src/sockets/reader.ts'
import { newShare } from '../../src/sockets/shares.ts'
import { allOpen } from '../../src/ways.ts'
import { freePort } from '../fixtures/free-port.ts'
import { recordingLog } from '../fixtures/log.ts'
import { at, Backend, config, dial, eventually, forwarding, links, open, outcome, plan, to } from './bench.ts'

/** A target that fails: the connection goes to the next one, whole, or nobody takes it, at once. */

const [farA, farB] = ['127.0.0.2', '127.0.0.3'] as const
/** No test listens there. */
const nowhere = '127.0.0.9'

interface World {
  readonly a?: Partial<TcpForwardConfig>
  readonly b?: Partial<TcpForwardConfig>
  /** Until then the first far end has no address for its target. */
  readonly gate?: Promise<void>
  /** Whether the second one takes links. */
  readonly linkB?: boolean
  readonly order?: readonly string[]
}

/** Two far ends at their tunnel addresses, the first without its target, and a gateway with a forward to both. */
async function world(t: Test, { a, b, gate, linkB = true, order = [farA, farB] }: World = {}) {
  const [port, linkPort, closed] = [await freePort(), await freePort(), await freePort()]
  const backend = await Backend.listen(t)
  const far = (address: string, target: number, link: boolean, changes?: Partial<TcpForwardConfig>) => {
    const upstream = to(at(`target.${address}`, target))
    const forward = config(target, { listen: at('tunnel', port), upstream, acceptProxy: 'any', ...changes })
    const resolve = async (host: string) => {
      if (host !== `target.${farA}`) return ['127.0.0.1']
      await gate
      return [nowhere]
    }
    return forwarding(t, [forward], { tunnel: [address], resolve, ...(link && { link: links(linkPort) }) })
  }
  const ends = { a: await far(farA, closed, true, a), b: await far(farB, backend.port, linkB, b) }
  const upstream = to(...order.map(host => at(host, port)))
  const near = await forwarding(t, [config(port, { upstream, sendProxy: 'v2' })], {
    link: links(linkPort, order),
  })
  const isLinked = (host: string) =>
    near.forwarder.links().some(({ address, state }) => address === host && state === 'up')
  await eventually(() => (!order.includes(farA) || isLinked(farA)) && (!linkB || isLinked(farB)))
  return { ...near, ...ends, backend }
}

async function all(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= bytes) break
  }
  return Buffer.concat(chunks)
}

t.test('one that refuses: the next one gets all of it, and serves', async t => {
  const backend = await Backend.listen(t)
  const closed = await freePort()
  const { port, status, logged, lines } = await forwarding(t, [
    config(0, { upstream: to(at(nowhere, closed), at('127.0.0.1', backend.port)) }),
  ])
  const socket = await open(port)
  socket.end('the request')
  const target = await backend.socket()
  t.same(await outcome(target), { received: 'the request', end: 'end' })
  target.end('the answer')
  t.same(await outcome(socket), { received: 'the answer', end: 'end' })
  await eventually(() => status().active === 0)
  t.match(status(), {
    accepted: 1,
    refused: { 'target-failed': 0 },
    targets: [{ state: 'down' }, { state: 'up' }],
  })
  t.match(logged('connection ended'), [{ target: `127.0.0.1:${backend.port}`, end: 'complete' }])
  t.match(
    lines.filter(([level]) => level !== 'info'),
    [
      [
        'debug',
        { target: `${nowhere}:${closed}`, detail: 'ECONNREFUSED' },
        'target does not take a connection',
      ],
    ],
  )
})

t.test('all that refuse: reset at once, one line, counted once', async t => {
  const closed = [await freePort(), await freePort(), await freePort()]
  const { port, status, logged } = await forwarding(t, [
    config(0, { upstream: to(...closed.map(port => at(nowhere, port))) }),
  ])
  const began = performance.now()
  t.equal((await outcome(dial(port))).end, 'ECONNRESET')
  t.ok(performance.now() - began < 1000)
  await eventually(() => status().active === 0)
  t.equal(status().refused['target-failed'], 1)
  t.match(logged('connection refused'), [
    { detail: closed.map(port => `${nowhere}:${port}: ECONNREFUSED`).join(', ') },
  ])
})

t.test('another list while connections run: they go on, the next one goes by the new list', async t => {
  const [gone, stays, comes] = [await Backend.listen(t), await Backend.listen(t), await Backend.listen(t)]
  const list = (...backends: Backend[]) => to(...backends.map(({ port }) => at('127.0.0.1', port)))
  const { port, placed, forwarder, status } = await forwarding(t, [
    config(0, { upstream: list(gone, stays) }),
  ])
  const socket = await open(port)
  const target = await gone.socket()
  const change = await forwarder.prepare(plan([{ ...placed[0]!, upstream: list(comes, stays) }]))
  change.commit()
  t.same(
    status().targets.map(({ active }) => active),
    [0, 0],
  )
  const next = await open(port)
  await comes.socket()
  target.end('to the end')
  t.same(await outcome(socket), { received: 'to the end', end: 'end' })
  t.equal(status().targets[0]?.active, 1)
  for (const client of [socket, next]) client.destroy()
})

t.test('balance, with real connections', async t => {
  const backends = [await Backend.listen(t), await Backend.listen(t), await Backend.listen(t)]
  const targets = to(...backends.map(({ port }) => at('127.0.0.1', port)))
  for (const [balance, expected] of [
    ['first', [6, 0, 0]],
    ['roundrobin', [2, 2, 2]],
    // The first two of the first backend end before the third connection.
    ['leastconn', [2, 2, 2]],
  ] as const) {
    const { port, status } = await forwarding(t, [config(0, { upstream: { ...targets, balance } })])
    const sockets: Socket[] = []
    for (let i = 0; i < 6; i++) {
      sockets.push(await open(port))
      await eventually(() => status().targets.reduce((sum, { active }) => sum + active, 0) === i + 1)
    }
    t.same(
      status().targets.map(({ active }) => active),
      expected,
      balance,
    )
    if (balance === 'leastconn') {
      // The longest that are left do not hinder: who has fewest gets the next.
      sockets[1]!.resetAndDestroy()
      sockets[4]!.resetAndDestroy()
      await eventually(() => status().targets[1]?.active === 0)
      for (let i = 0; i < 2; i++) sockets.push(await open(port))
      await eventually(() => status().targets[1]?.active === 2)
    }
    for (const socket of sockets) socket.resetAndDestroy()
    await eventually(() => status().targets.every(({ active }) => active === 0))
  }
})

for (const linkB of [true, false])
  t.test(
    `over a link, then ${linkB ? 'over another' : 'by a plain connection'}: what was sent early is sent again`,
    async t => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const { port, a, backend, status, lines } = await world(t, { gate: promise, linkB })
      const request = randomBytes(50_000)
      const socket = await open(port)
      socket.write(request.subarray(0, 10_000))
      await eventually(() => a.status().active === 1)
      socket.end(request.subarray(10_000))
      await new Promise(resolve => setTimeout(resolve, 100))
      resolve()
      const target = await backend.socket()
      t.ok((await all(target, request.length)).equals(request))
      await once(target, 'end')
      target.end('the answer')
      t.same(await outcome(socket), { received: 'the answer', end: 'end' })
      await eventually(() => status().active === 0)
      t.match(status(), {
        accepted: 1,
        receivedBytes: 50_000,
        targets: [{ state: 'down', active: 0 }, { active: 0 }],
      })
      t.equal(status().refused['target-failed'], 0)
      t.match(
        lines.filter(([, , message]) => message === 'target does not take a connection'),
        [['debug', { detail: /by the other end: .*ECONNREFUSED/ }, String]],
      )
    },
  )

t.test('the client that the next target sees is the same one', async t => {
  const { port, backend } = await world(t, { b: { sendProxy: 'v2' } })
  const socket = await open(port)
  socket.write('hello')
  const target = await backend.socket()
  const [first] = (await once(target, 'data')) as [Buffer]
  const header = parseProxyHeader(first, 'v2')!
  t.match(header.source, { address: '127.0.0.1', port: socket.localPort })
  t.equal(first.subarray(header.length).toString(), 'hello')
  socket.destroy()
})

t.test('a plain connection that fails, then a link', async t => {
  const { port, backend, forwarder } = await world(t, { order: [nowhere, farB] })
  const socket = await open(port)
  socket.write('over')
  const [chunk] = (await once(await backend.socket(), 'data')) as [Buffer]
  t.equal(chunk.toString(), 'over')
  t.match(forwarder.links(), [{ streams: 0 }, { address: farB, streams: 1 }])
  socket.destroy()
})

t.test('a client that has sent more than is kept stays with its target', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { port, a, b, status, logged } = await world(t, { gate: promise })
  const socket = await open(port)
  socket.write(randomBytes(65_537))
  await eventually(() => a.status().active === 1)
  await new Promise(resolve => setTimeout(resolve, 100))
  resolve()
  t.equal((await outcome(socket)).end, 'ECONNRESET')
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'target-failed', detail: /by the other end/ }])
  t.equal(b.status().accepted, 0)
})

t.test('with as much as is kept it goes on, byte by byte', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { port, a, backend } = await world(t, { gate: promise })
  const request = randomBytes(65_536)
  const socket = await open(port)
  for (let at = 0; at < 1000; at++) socket.write(request.subarray(at, at + 1))
  await eventually(() => a.status().active === 1)
  socket.write(request.subarray(1000))
  await new Promise(resolve => setTimeout(resolve, 100))
  resolve()
  const more = randomBytes(300_000)
  const target = await backend.socket()
  const received = all(target, request.length + more.length)
  socket.write(more)
  t.ok((await received).equals(Buffer.concat([request, more])))
  socket.destroy()
})

t.test('a client that goes while its target is looked for', async t => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { port, a, b, status } = await world(t, { gate: promise })
  const socket = await open(port)
  socket.write('early')
  await eventually(() => a.status().active === 1)
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  resolve()
  await eventually(() => a.status().active === 0)
  t.equal(b.status().accepted, 0)
  t.match(status(), { targets: [{ active: 0 }, { active: 0 }] })
})

t.test('what a refusal says of the client is said once: no other end is asked', async t => {
  const deny = [{ address: '127.0.0.0', bits: 8, family: 4 }] as const
  const { port, b, status, logged } = await world(t, { a: { limits: { deny } } })
  t.equal((await outcome(dial(port))).end, 'ECONNRESET')
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'denied' }])
  t.match(status(), { refused: { denied: 1 }, targets: [{ state: 'unknown' }, { state: 'unknown' }] })
  t.equal(b.status().accepted, 0)
})

t.test('an end that drains: its connections without a target go elsewhere, and so do new ones', async t => {
  const { port, a, backend, status } = await world(t, { gate: new Promise(() => {}) })
  const socket = await open(port)
  socket.write('early')
  await eventually(() => a.status().active === 1)
  const drained = a.forwarder.drain(AbortSignal.timeout(200))
  const [early] = (await once(await backend.socket(), 'data')) as [Buffer]
  t.equal(early.toString(), 'early')
  await drained
  t.match(status().targets, [{ state: 'down' }, { active: 1 }])
  const next = await open(port)
  next.write('next')
  const [chunk] = (await once(await backend.socket(), 'data')) as [Buffer]
  t.equal(chunk.toString(), 'next')
  t.equal(status().refused.draining, 0)
  for (const client of [socket, next]) client.destroy()
})

t.test('a link that is lost: only a client that has sent nothing goes elsewhere', async t => {
  const [port, linkPort] = [await freePort(), await freePort()]
  const backend = await Backend.listen(t)
  const { log } = recordingLog()
  const arrived: Arrival[] = []
  const silent = new Links({
    log,
    descriptors: new Descriptors(Number.POSITIVE_INFINITY),
    ways: allOpen,
    peerOf: () => newShare('peer test'),
    arrived: arrival => void arrived.push(arrival),
    accepted() {},
    up() {},
    draining() {},
    targets() {},
  })
  const { trusted } = links(linkPort)
  silent.configure({ port: linkPort, perPeer: 1, ports: new Set(), addresses: new Set(), trusted })
  const server = createServer(socketOptions, socket => silent.accept(socket)).listen(linkPort, farA)
  t.teardown(() => server.close())
  const upstream = to(at(farA, port), at('127.0.0.1', backend.port))
  const { forwarder, status, logged, placed } = await forwarding(
    t,
    [config(port, { upstream, sendProxy: 'v2' })],
    { link: links(linkPort, [farA]) },
  )
  await eventually(() => forwarder.links()[0]?.state === 'up')
  const mute = await open(placed[0]!.listen.first)
  const talking = await open(placed[0]!.listen.first)
  talking.write('may have arrived')
  await eventually(() => arrived.length === 2 && arrived.some(({ stream }) => stream.receivedBytes > 0))
  const cut = outcome(talking)
  void silent.close(AbortSignal.abort())
  t.equal((await cut).end, 'ECONNRESET')
  const target = await backend.socket()
  mute.write('now')
  await once(target, 'data')
  target.end('served')
  t.equal((await outcome(mute)).received, 'served')
  mute.destroy()
  await eventually(() => status().active === 0)
  t.match(
    logged('connection ended').map(line => (line as { end: string }).end),
    ['link-lost', 'complete'],
  )
})

t.test(
  'each of 300 connections arrives whole while one of two ends comes and goes',
  { timeout: 60_000 },
  async t => {
    const backend = await Backend.listen(t)
    backend.server.removeAllListeners('connection')
    backend.server.on('connection', socket => {
      socket.on('error', () => {})
      socket.pipe(socket)
    })
    const flaky = await freePort()
    const { port, status } = await forwarding(t, [
      config(0, {
        upstream: { ...to(at('127.0.0.1', flaky), at('127.0.0.1', backend.port)), balance: 'roundrobin' },
      }),
    ])
    let server: ReturnType<typeof createServer> | undefined
    const flip = setInterval(() => {
      if (server === undefined) {
        server = createServer(
          { allowHalfOpen: true },
          socket => void socket.on('error', () => {}).pipe(socket),
        )
        server.listen(flaky, '127.0.0.1')
      } else {
        server.close()
        server = undefined
      }
    }, 20)
    t.teardown(() => {
      clearInterval(flip)
      server?.close()
    })
    const one = async () => {
      const request = randomBytes(2000).toString('latin1')
      const socket = await open(port)
      socket.end(request, 'latin1')
      return (await outcome(socket)).received === request
    }
    for (let round = 0; round < 30; round++) {
      t.ok((await Promise.all(Array.from({ length: 10 }, one))).every(isWhole => isWhole))
    }
    t.equal(status().refused['target-failed'], 0)
  },
)
