import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { FrameReader, frame, frameHeader } from '../../src/link/frame.ts'
import {
  decodeGreeting,
  defaults,
  encodeGreeting,
  type Greeting,
  greetingKind,
  greetingLength,
  noToken,
} from '../../src/link/greeting.ts'

/** The other side of a link, by hand: it says the greeting of docs/link.md, and then whatever an attack wants. */

export { frame }

export interface Address {
  readonly host: string
  readonly port: number
}

/** A link that is up. The socket is paused: nothing is read unless the attack does. */
export interface RawLink {
  readonly socket: Socket
  /** What the victim said. */
  readonly greeting: Greeting
}

/** One frame; `length` is what its header says, where that is to be a lie. */
export function bytes(
  stream: number,
  type: number,
  payload: Buffer = Buffer.alloc(0),
  length = payload.length,
): Buffer {
  const header = Buffer.alloc(frameHeader)
  header.writeUInt32BE(stream)
  header[4] = type
  header.writeUIntBE(length, 5, 3)
  return Buffer.concat([header, payload])
}

/** The frame that opens a stream to a port, for a client at 203.0.113.9. */
export function open(stream: number, port: number, clientPort = 40_000): Buffer {
  const payload = Buffer.alloc(2 + 28)
  payload.writeUInt16BE(port)
  // PROXY v2, command PROXY, TCP over IPv4, 12 bytes of addresses.
  Buffer.from('0d0a0d0a000d0a515549540a2111000c', 'hex').copy(payload, 2)
  Buffer.from([203, 0, 113, 9, 203, 0, 113, 1]).copy(payload, 18)
  payload.writeUInt16BE(clientPort, 26)
  payload.writeUInt16BE(port, 28)
  return bytes(stream, frame.open, payload)
}

/** Dials a link, as an end does that opens streams. */
export async function dialLink(at: Address): Promise<RawLink> {
  const socket = await dial(at)
  socket.write(encodeGreeting({ ...defaults, kind: greetingKind.link, token: noToken }))
  return { socket, greeting: await greetingOf(socket) }
}

/** Dials a lane for the link of this token; its stream's number is the attack's to send. */
export async function dialLane(at: Address, token: Buffer): Promise<Socket> {
  const socket = await dial(at)
  socket.write(encodeGreeting({ ...defaults, kind: greetingKind.lane, token }))
  return socket
}

/** A TCP connection with the victim, its errors ignored. */
export async function dial(at: Address): Promise<Socket> {
  const socket = connect({ ...at, allowHalfOpen: true, autoSelectFamily: false })
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

/** Listens for links that the victim dials; `linked` gets each, `lane` each lane. */
export async function acceptLinks(
  at: Address,
  linked: (link: RawLink) => void,
  lane: (socket: Socket) => void = () => {},
): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, async socket => {
    socket.on('error', () => {})
    const greeting = await greetingOf(socket).catch(() => undefined)
    if (greeting === undefined) return
    if (greeting.kind === greetingKind.lane) {
      lane(socket)
      return
    }
    socket.write(encodeGreeting({ ...defaults, kind: greetingKind.link, token: Buffer.alloc(16, 7) }))
    linked({ socket, greeting })
  })
  await once(server.listen(at.port, at.host), 'listening')
  return server
}

/** Writes all of it, as fast as it is taken; resolves early when the victim cuts the connection. */
export async function pour(socket: Socket, chunks: Iterable<Buffer>): Promise<void> {
  const over = new AbortController()
  const { signal } = over
  const closed = once(socket, 'close', { signal }).catch(() => {})
  for (const chunk of chunks) {
    if (socket.destroyed) break
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain', { signal }).catch(() => {}), closed])
  }
  over.abort()
}

/** `count` times the same bytes, in writes of about 64 KiB. */
export function* repeated(piece: Buffer, count: number): Iterable<Buffer> {
  const perWrite = Math.max(1, Math.floor(65_536 / piece.length))
  const many = Buffer.concat(Array.from({ length: Math.min(perWrite, count) }, () => piece))
  for (let left = count; left > 0; left -= perWrite)
    yield left >= perWrite ? many : many.subarray(0, left * piece.length)
}

async function greetingOf(socket: Socket): Promise<Greeting> {
  while (socket.readableLength < greetingLength) {
    await Promise.race([once(socket, 'readable'), once(socket, 'close')])
    if (socket.destroyed) throw new Error('closed before its greeting')
  }
  return decodeGreeting(socket.read(greetingLength))
}

/**
 * Reads what the victim says on a link from now on. The function that it gives sends a ping, and resolves once the victim
 * has read all that was sent before it: to whether it has answered, or ended the link.
 */
export function hear(socket: Socket): () => Promise<boolean> {
  let pongs = 0
  let told = () => {}
  const reader = new FrameReader({
    part() {},
    control(_, type) {
      if (type !== frame.pong) return
      pongs++
      told()
    },
  })
  socket.on('data', chunk => reader.read(chunk))
  return () =>
    new Promise(resolve => {
      const seen = pongs
      told = () => resolve(pongs > seen)
      for (const event of ['end', 'close']) socket.once(event, () => resolve(false))
      if (socket.destroyed || socket.readableEnded) resolve(false)
      socket.write(bytes(0, frame.ping))
    })
}
