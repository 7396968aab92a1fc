import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Links } from '../../src/link/links.ts'
import { acceptStatic, dialOptions, socketOptions } from '../../src/sockets/reader.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, receive, sha256, trustLoopback, unattended } from '../link/bench.ts'
import { acceptLinks, bytes, dialLink, frame, hear, open, pour, type RawLink, repeated } from './far-end.ts'

/** Frames without end, on loopback: see frames.full.ts for the whole. */

t.jobs = 5
const anyAddress = '127.0.0.1'

/** An end that dials a far end by hand, and what it did. */
async function dialling(t: Test, linked: (link: RawLink) => void, lane?: (socket: Socket) => void) {
  const told: [port: number, isUp: boolean][] = []
  const seen = { draining: 0, links: 0, lanes: 0 }
  const sockets: Socket[] = []
  const server = await acceptLinks(
    { host: anyAddress, port: 0 },
    link => {
      seen.links++
      sockets.push(link.socket)
      linked(link)
    },
    socket => {
      seen.lanes++
      sockets.push(socket)
      lane?.(socket)
    },
  )
  const { port } = server.address() as { port: number }
  const { log, lines } = recordingLog()
  const links = new Links({
    ...unattended(),
    log,
    draining: () => seen.draining++,
    targets: (_, states) => told.push(...states),
  })
  t.teardown(() => {
    links.drain()
    void links.close(AbortSignal.abort())
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const ports = new Set([80, 81])
  links.configure({ port, perPeer: 1, ports, addresses: new Set([anyAddress]), trusted: [] })
  return { links, told, seen, lines }
}

/** The first link, its pings answered. */
async function far(t: Test) {
  const linked = Promise.withResolvers<RawLink>()
  const world = await dialling(t, linked.resolve)
  const { socket } = await linked.promise
  return { ...world, socket, ping: hear(socket) }
}

t.test('goaway counts once', { buffered: true }, async t => {
  const { seen, socket, links } = await far(t)
  await eventually(() => links.to(anyAddress) !== undefined)
  // With a stream that is open the link stays.
  links.to(anyAddress)!.open(80, Buffer.from('header'))
  const ping = hear(socket)
  await pour(socket, repeated(bytes(0, frame.goaway), 40_000))
  t.ok(await ping())
  t.equal(seen.draining, 1)
  t.equal(links.to(anyAddress), undefined)
})

t.test(
  'a target that flaps: its first state at once, then one in a second, the last one',
  { buffered: true },
  async t => {
    const { socket, ping, told } = await far(t)
    const state = (port: number, isUp: number) => bytes(0, frame.target, Buffer.from([0, port, isUp]))
    await pour(
      socket,
      repeated(Buffer.concat([state(80, 0), state(80, 1), state(9, 0), state(9, 1)]), 50_000),
    )
    socket.write(state(80, 0))
    t.ok(await ping())
    await eventually(() => told.length > 1)
    // Whatever came with the first read, at once; then the last. More only where the machine took seconds.
    t.ok(told.length <= 4, `${told.length} states`)
    t.strictSame(told.at(-1), [80, false])
    t.ok(
      told.every(([port]) => port === 80),
      'nobody here sends to the other port',
    )
    socket.write(state(81, 1))
    await eventually(() => told.length > 2)
    t.strictSame(told.at(-1), [81, true], 'another port does not wait')
  },
)

t.test('what was told before goaway is forgotten with it', { buffered: true }, async t => {
  const { socket, ping, told, seen } = await far(t)
  const state = (isUp: number) => bytes(0, frame.target, Buffer.from([0, 80, isUp]))
  socket.write(state(0))
  await eventually(() => told.length === 1)
  socket.write(Buffer.concat([state(1), bytes(0, frame.goaway), state(1)]))
  await ping()
  t.equal(seen.draining, 1)
  await new Promise(resolve => setTimeout(resolve, 1100))
  t.strictSame(told, [[80, false]])
})

t.test(
  'a far end that greets and goes, or wants lanes and cuts them, is not dialled in a circle',
  async t => {
    let isLink = true
    const began = performance.now()
    const wants = Buffer.concat(Array.from({ length: 100 }, () => bytes(1, frame.want)))
    const { links, seen } = await dialling(
      t,
      ({ socket }) => socket.resetAndDestroy(),
      lane => lane.resetAndDestroy(),
    )
    // Somebody finds the target up, again and again.
    const timer = setInterval(() => links.retry(anyAddress), 5)
    t.teardown(() => clearInterval(timer))
    const other = await dialling(
      t,
      ({ socket }) => {
        if (!isLink) return
        isLink = false
        hear(socket)
        socket.on('data', () => {})
        const want = setInterval(() => socket.write(wants), 5)
        t.teardown(() => clearInterval(want))
      },
      lane => lane.resetAndDestroy(),
    )
    await eventually(() => other.links.to(anyAddress) !== undefined)
    other.links.to(anyAddress)!.open(80, Buffer.from('header'))
    await new Promise(resolve => setTimeout(resolve, 1600))
    const seconds = (performance.now() - began) / 1000
    t.ok(seen.links <= 1 + seconds, `${seen.links} links in ${seconds.toFixed(1)} s`)
    t.ok(other.seen.lanes <= 8 * (1 + seconds), `${other.seen.lanes} lanes in ${seconds.toFixed(1)} s`)
  },
)

t.test('one link does not have the event loop to itself', { buffered: true }, async t => {
  const { log } = recordingLog()
  let [opened, turns, most, before] = [0, 0, 0, 0]
  const links = new Links({
    ...unattended(),
    log,
    arrived: ({ stream }) => {
      opened++
      stream.owner = { streamEnded() {}, halfClosed() {} }
    },
  })
  links.configure(trustLoopback)
  const server = createServer(socketOptions, socket => links.accept(socket))
  const port = await listening(server)
  acceptStatic(server)
  t.teardown(() => {
    void links.close(AbortSignal.abort())
    server.close()
  })
  let isOver = false
  const turn = () => {
    turns++
    most = Math.max(most, opened - before)
    before = opened
    if (!isOver) setImmediate(turn)
  }
  setImmediate(turn)
  const { socket } = await dialLink({ host: anyAddress, port })
  const ping = hear(socket)
  const pieces = Array.from({ length: 16_000 }, (_, i) =>
    Buffer.concat([open(i + 1, 80), bytes(i + 1, frame.reset, Buffer.from([0]))]),
  )
  await pour(socket, [Buffer.concat(pieces)])
  t.ok(await ping())
  isOver = true
  socket.destroy()
  t.equal(opened, 16_000, 'each stream was opened')
  t.ok(most <= 20, `at most ${most} in one turn`)
  t.ok(turns > 800)
})

t.test('what is read in goes arrives as it was sent, also where it waits', { buffered: true }, async t => {
  const arrived: Promise<{ hash: string }>[] = []
  const target = createServer(socketOptions, socket => {
    // Not read for a while: what the kernel does not take is written later, from where it was read to.
    socket.pause()
    const received = receive(socket)
    setTimeout(() => socket.resume(), 500)
    arrived.push(received)
  })
  const targetPort = await listening(target)
  const links = new Links({
    ...unattended(),
    log: recordingLog().log,
    arrived: ({ stream }) => {
      stream.owner = { streamEnded() {}, halfClosed() {} }
      const socket = connect({ ...dialOptions, host: anyAddress, port: targetPort }).pause()
      socket.once('connect', () => stream.attach(socket, undefined, undefined))
    },
  })
  links.configure(trustLoopback)
  const server = createServer(socketOptions, socket => links.accept(socket))
  const port = await listening(server)
  acceptStatic(server)
  const { socket } = await dialLink({ host: anyAddress, port })
  socket.resume()
  t.teardown(() => {
    void links.close(AbortSignal.abort())
    socket.destroy()
    server.close()
    target.close()
  })
  const streams = Array.from({ length: 40 }, (_, i) => i + 1)
  const pings = Buffer.concat(Array.from({ length: 300 }, () => bytes(0, frame.ping)))
  const piece = (id: number, n: number) => Buffer.alloc(32_000, `${id}:${n} `)
  for (const id of streams) socket.write(open(id, 80))
  await eventually(() => arrived.length === streams.length)
  for (let n = 0; n < 8; n++)
    await pour(
      socket,
      streams.map(id => Buffer.concat([bytes(id, frame.data, piece(id, n)), pings])),
    )
  for (const id of streams) socket.write(bytes(id, frame.end))
  const hashes = (await Promise.all(arrived)).map(({ hash }) => hash)
  const wanted = streams.map(id => sha256(Buffer.concat(Array.from({ length: 8 }, (_, n) => piece(id, n)))))
  t.strictSame(hashes.sort(), wanted.sort())
})
