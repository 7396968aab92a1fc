import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { uint32 } from '../../src/link/frame.ts'
import { listening } from '../link/bench.ts'
import { bytes, dial, dialLane, dialLink, frame, hear, pour, type RawLink, repeated } from './far-end.ts'
import type { Held, Ports } from './stalled-end.ts'

/**
 * Every way in which bytes can wait, and what they cost then. docs/limits.md says how much each may, here it may be half
 * as much again, and what is there without any.
 */
const slack = 1.5
/** MiB of objects beside the bytes: sockets, streams, code that was compiled meanwhile. */
const beside = 6

/** An end whose memory is looked at, and targets for it: one that never reads, one that reads, two that send at once. */
async function world(t: Test) {
  const sockets: Socket[] = []
  const target = async (serve: (socket: Socket) => void) => {
    const server: Server = createServer({ allowHalfOpen: true }, socket => {
      sockets.push(socket.on('error', () => {}))
      serve(socket)
    })
    t.teardown(() => server.close())
    return listening(server)
  }
  const send = (piece: Buffer) => (socket: Socket) => {
    const more = () => {
      while (!socket.destroyed && socket.write(piece)) {}
    }
    socket.on('drain', more)
    more()
  }
  const deaf = await target(() => {})
  const reader = await target(socket => socket.resume())
  const sender = await target(send(Buffer.alloc(65_536)))
  const whisperer = await target(send(Buffer.alloc(1000)))
  const end = fork(new URL('stalled-end.ts', import.meta.url), [`${sender}`], {
    execArgv: ['--expose-gc'],
    env: { PATH: process.env.PATH },
  })
  t.teardown(() => {
    end.kill('SIGKILL')
    for (const socket of sockets) socket.destroy()
  })
  const [ports] = (await once(end, 'message')) as [Ports]
  const measure = async (): Promise<Held> => {
    end.send('measure')
    return (await once(end, 'message'))[0]
  }
  /** Waits until it has what it will. */
  const settled = async (): Promise<Held> => {
    let last = await measure()
    for (let i = 0; i < 80; i++) {
      await pause(100)
      const held = await measure()
      if (Math.abs(held.used - last.used) < 0.5) return held
      last = held
    }
    throw new Error('its memory does not settle')
  }
  const link = async (): Promise<RawLink> => {
    const link = await dialLink({ host: '127.0.0.1', port: ports.link })
    t.teardown(() => link.socket.destroy())
    return link
  }
  return { deaf, reader, sender, whisperer, ports, measure, settled, link, sockets }
}

/** That it has no more than so many MiB more than before, at any time; and that there was something to have. */
function within(t: Test, before: Held, after: Held, allowed: number, least = 0): void {
  const grown = Math.max(after.used, after.peak) - Math.max(before.used, before.peak)
  t.ok(grown <= allowed * slack + beside, `${grown.toFixed(1)} MiB more, ${allowed} allowed`)
  t.ok(after.pieces / 1024 >= least, `${after.pieces} pieces of memory hold what waits`)
}

const open = (stream: number, port: number) => {
  const payload = Buffer.alloc(8)
  payload.writeUInt16BE(port)
  return bytes(stream, frame.open, payload)
}
const data = (stream: number, payload: Buffer) => bytes(stream, frame.data, payload)
/** Bytes that a stream may send before it is granted more. */
const window = 262_144

t.test('one-byte frames for streams without a socket', async t => {
  const { link, measure, settled } = await world(t)
  const { socket } = await link()
  const answered = hear(socket)
  const before = await measure()
  for (let id = 1; id <= 8; id++) {
    socket.write(open(id, 1))
    await pour(socket, repeated(data(id, Buffer.from('x')), window))
  }
  t.ok(await answered(), 'all were read')
  within(t, before, await settled(), 2, 2)
})

t.test('small messages for a socket that takes none, with much beside them for one that does', async t => {
  const { link, deaf, reader, settled } = await world(t)
  const { socket } = await link()
  socket.write(Buffer.concat([open(1, reader), ...Array.from({ length: 4 }, (_, i) => open(2 + i, deaf))]))
  const credit = new Map<number, number>()
  socket.on('data', granted(credit))
  const before = await settled()
  const much = data(1, Buffer.alloc(32_768))
  const message = Buffer.alloc(100)
  let sent = 0
  for (let moved = performance.now(); performance.now() - moved < 200; ) {
    const pieces = credited(credit, 1, 32_768) ? [much] : []
    for (let id = 2; id < 6; id++)
      for (let i = 0; i < 50; i++) if (credited(credit, id, 100)) pieces.push(data(id, message))
    // Only what is beside them moves.
    if (pieces.length > 1) moved = performance.now()
    sent += pieces.length * 100
    if (!socket.write(Buffer.concat(pieces))) await once(socket, 'drain')
    else await pause(1)
  }
  t.ok(sent > 4 * window, `${sent} bytes were sent for them`)
  within(t, before, await settled(), 4 * 0.25, 0.5)
})

t.test('a far end that asks and does not read is cut', async t => {
  const { link, measure, settled } = await world(t)
  const { socket } = await link()
  const before = await measure()
  await pour(socket, repeated(bytes(0, frame.ping), 2_500_000)).catch(() => {})
  const after = await settled()
  t.equal(after.links, 0, 'its link is gone')
  within(t, before, after, 8)
})

for (const what of ['sender', 'whisperer'] as const)
  t.test(`a far end that reads nothing of 80 streams, ${what}`, async t => {
    const targets = await world(t)
    const { link, measure, settled } = targets
    const { socket } = await link()
    const before = await measure()
    for (let id = 1; id <= 80; id++) {
      socket.write(open(id, targets[what]))
      socket.write(bytes(id, frame.credit, uint32(1 << 30)))
    }
    await pause(500)
    const after = await settled()
    t.equal(after.links, 1, 'its link lives')
    // What waits for the link, and the read buffers of those that have come to send.
    within(t, before, after, what === 'sender' ? 8 : 4)
  })

t.test('eight links that are full', async t => {
  const { link, measure, settled } = await world(t)
  const before = await measure()
  const piece = Buffer.alloc(65_536)
  const sockets: Socket[] = []
  for (let i = 0; i < 8; i++) {
    const { socket } = await link()
    sockets.push(socket)
    for (let id = 1; id <= 64; id++) {
      socket.write(open(id, 1))
      await pour(socket, repeated(data(id, piece), 4))
    }
  }
  const after = await settled()
  t.equal(after.links, 8, 'all live')
  t.ok(after.streams < 8 * 64, 'streams of theirs were reset')
  within(t, before, after, 64, 48)
  for (const socket of sockets) socket.destroy()
  await pause(100)
  const then = await settled()
  t.equal(then.pieces, 0, 'nothing waits any more')
  t.ok(then.used - before.used < 10, `${(then.used - before.used).toFixed(1)} MiB are left of it`)
})

t.test('plain connections that are not read', async t => {
  const { ports, measure, settled } = await world(t)
  const before = await measure()
  for (let i = 0; i < 80; i++) {
    const socket = await dial({ host: '127.0.0.1', port: ports.plain })
    t.teardown(() => socket.destroy())
  }
  const after = await settled()
  within(t, before, after, 80 * 0.25)
  t.ok(after.used - before.used > 4, 'and something waits')
})

t.test('lanes that are not read', async t => {
  const { link, measure, settled, sender, ports } = await world(t)
  const { socket, greeting } = await link()
  const before = await measure()
  for (let id = 1; id <= 40; id++) {
    const lane = await dialLane({ host: '127.0.0.1', port: ports.link }, greeting.token)
    t.teardown(() => lane.destroy())
    socket.write(open(id, sender))
    socket.write(bytes(id, frame.credit, uint32(1 << 30)))
    lane.write(uint32(id))
  }
  const after = await settled()
  t.equal(after.promoted, 40)
  within(t, before, after, 40 * 0.25)
})

t.test('a local socket that takes nothing of a lane', async t => {
  const { link, measure, settled, deaf, ports } = await world(t)
  const { socket, greeting } = await link()
  socket.resume()
  const before = await measure()
  const piece = Buffer.alloc(65_536)
  for (let id = 1; id <= 20; id++) {
    const lane = await dialLane({ host: '127.0.0.1', port: ports.link }, greeting.token)
    t.teardown(() => lane.destroy())
    socket.write(Buffer.concat([open(id, deaf), bytes(id, frame.switch)]))
    lane.write(uint32(id))
    for (let sent = 0; sent < 16 && lane.writableLength < 1 << 20; sent++) {
      lane.write(piece)
      await pause(1)
    }
  }
  const after = await settled()
  t.equal(after.promoted, 20)
  within(t, before, after, 20 * 0.25)
})

/** Notes what the end grants its streams. */
function granted(credit: Map<number, number>) {
  let rest = Buffer.alloc(0)
  return (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (; rest.length >= 8; rest = rest.subarray(8 + rest.readUIntBE(5, 3))) {
      if (rest.length < 8 + rest.readUIntBE(5, 3)) return
      const id = rest.readUInt32BE()
      if (rest[4] === frame.credit) credit.set(id, (credit.get(id) ?? window) + rest.readUInt32BE(8))
    }
  }
}

function credited(credit: Map<number, number>, id: number, bytes: number): boolean {
  const left = credit.get(id) ?? window
  if (left < bytes) return false
  credit.set(id, left - bytes)
  return true
}
