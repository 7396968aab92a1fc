import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Arrival } from '../../src/link/acceptor.ts'
import { Links } from '../../src/link/links.ts'
import type { Reset } from '../../src/link/reset-reason.ts'
import type { Session } from '../../src/link/session.ts'
import type { Stream } from '../../src/link/stream.ts'
import type { StreamEnd } from '../../src/link/stream-owner.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { acceptStatic, dialOptions, socketOptions } from '../../src/sockets/reader.ts'
import { newShare } from '../../src/sockets/shares.ts'
import { allOpen } from '../../src/ways.ts'
import { recordingLog } from '../fixtures/log.ts'

/**
 * Two ends of a link in one process, on loopback:
 *
 *   client ── front ══ near ══ link ══ far ══ dials ── target
 *
 * `front` takes clients and opens a stream for each; the far end joins it with a connection to `target`.
 */
export interface World {
  /** Where clients connect. */
  readonly port: number
  readonly near: Links
  readonly far: Links
  readonly lines: ReturnType<typeof recordingLog>['lines']
  /** The link that takes new streams. */
  session(): Session
  /** How streams ended, at each end, in order. */
  readonly ended: { near: StreamEnd[]; far: StreamEnd[]; why: (Reset | undefined)[] }
  /** All that were opened, of both ends. */
  readonly streams: readonly Stream[]
  /** The connection to the target that a new client got. */
  client(): Promise<{ client: Socket; target: Socket }>
}

/** For `Links` whose owner takes no part: what only some tests look at, they give. */
export function unattended() {
  const descriptors = new Descriptors(Number.POSITIVE_INFINITY)
  const share = newShare('peer test')
  return {
    descriptors,
    ways: allOpen,
    peerOf: () => share,
    arrived() {},
    accepted() {},
    up() {},
    draining() {},
    targets() {},
  }
}

/** Takes links from this machine. */
export const trustLoopback = {
  port: 0,
  perPeer: 1,
  ports: new Set<number>(),
  addresses: new Set<string>(),
  trusted: [{ address: '127.0.0.0', bits: 8, family: 4 }],
} as const

const half = { allowHalfOpen: true, host: '127.0.0.1', autoSelectFamily: false }

export async function linked(t: Test, onArrival?: (arrival: Arrival) => void, perPeer = 1): Promise<World> {
  const { log, lines } = recordingLog()
  const ended: World['ended'] = { near: [], far: [], why: [] }
  const targets = createServer(socketOptions)
  const targetPort = await listening(targets)
  const streams: Stream[] = []
  const own = (stream: Stream, which: 'near' | 'far') => {
    streams.push(stream)
    stream.owner = {
      streamEnded(end, why) {
        ended[which].push(end)
        ended.why.push(why)
      },
      halfClosed() {},
    }
  }
  const join = ({ stream }: Arrival) => {
    own(stream, 'far')
    const socket = connect({ ...dialOptions, host: '127.0.0.1', port: targetPort }).pause()
    socket.once('connect', () => stream.attach(socket, undefined, undefined))
  }
  const far = new Links({ ...unattended(), log, arrived: onArrival ?? join })
  far.configure(trustLoopback)
  const gate = createServer(socketOptions, socket => far.accept(socket))
  const linkPort = await listening(gate)
  acceptStatic(gate)
  const near = new Links({ ...unattended(), log })
  near.configure({
    port: linkPort,
    perPeer,
    ports: new Set(),
    addresses: new Set(['127.0.0.1']),
    trusted: [],
  })
  const session = () => near.to('127.0.0.1')!
  const front = createServer(socketOptions, socket => {
    const stream = session().open(80, Buffer.from('header'))
    own(stream, 'near')
    stream.attach(socket, undefined, undefined)
  })
  const port = await listening(front)
  acceptStatic(front)
  t.teardown(() => {
    near.drain()
    for (const links of [near, far]) void links.close(AbortSignal.abort())
    for (const server of [front, gate, targets]) server.close()
  })
  while (session() === undefined) await new Promise(resolve => setTimeout(resolve, 5))
  return {
    port,
    near,
    far,
    lines,
    session,
    streams,
    ended,
    async client() {
      const arrived = once(targets, 'connection')
      const client = connect({ ...half, port })
      client.on('error', () => {})
      await once(client, 'connect')
      const [target] = (await arrived) as [Socket]
      target.on('error', () => {})
      t.teardown(() => {
        client.destroy()
        target.destroy()
      })
      return { client, target }
    },
  }
}

export async function listening(server: Server, port = 0): Promise<number> {
  await once(server.listen(port, '127.0.0.1'), 'listening')
  return (server.address() as { port: number }).port
}

/** What a socket receives until its end or its error, as a hash; with `pauses` it stops reading now and then. */
export function receive(
  socket: Socket,
  pauses = false,
): Promise<{ bytes: number; hash: string; end: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  socket.on('data', chunk => {
    hash.update(chunk)
    bytes += chunk.length
    if (!pauses || Math.random() > 0.05) return
    socket.pause()
    setTimeout(() => socket.resume(), 2)
  })
  return new Promise(resolve => {
    const settle = (end: string) => resolve({ bytes, hash: hash.copy().digest('hex'), end })
    socket.once('end', () => settle('end'))
    socket.once('error', () => settle('error'))
    socket.once('close', () => settle('close'))
  })
}

export function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex')
}

export async function eventually(holds: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 20_000; !holds(); await new Promise(resolve => setTimeout(resolve, 5)))
    if (Date.now() > deadline) throw new Error(`not within 20 s: ${holds}`)
}
