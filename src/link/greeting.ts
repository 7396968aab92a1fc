import type { Socket } from 'node:net'
import type { ReadSocket, Sink } from '../sockets/reader.ts'
import { LinkError } from './frame.ts'

/**
 * The first bytes of every connection to a link's port, and of the answer: magic (8 bytes), version (u8), kind (u8),
 * features (u16), window (u32), streams (u32), token (16 bytes).
 */

const magic = Buffer.from('\0wgpunch')
export const linkVersion = 1
export const greetingLength = 36

export const greetingKind = {
  /** To the listening end: frames follow. And its answer: they are welcome. */
  link: 1,
  /** To the listening end: a lane for the link of this token. Its stream's number (u32) follows when it is needed. */
  lane: 2,
  /** The answer: not with this version. */
  refused: 3,
} as const

export interface Greeting {
  readonly version: number
  readonly kind: number
  /** Bytes that the far end may send on a stream before it is given credit. */
  readonly window: number
  /** Streams that may be open. */
  readonly streams: number
  /** The listening end's name for the link; zeros from the end that dials one. */
  readonly token: Buffer
}

export const defaults = { version: linkVersion, window: 262_144, streams: 16_384 }
export const noToken = Buffer.alloc(16)

export function encodeGreeting({ version, kind, window, streams, token }: Greeting): Buffer {
  const bytes = Buffer.alloc(greetingLength)
  magic.copy(bytes)
  bytes[8] = version
  bytes[9] = kind
  bytes.writeUInt32BE(window, 12)
  bytes.writeUInt32BE(streams, 16)
  token.copy(bytes, 20)
  return bytes
}

/** Throws `LinkError` for bytes that are no greeting. */
export function decodeGreeting(bytes: Buffer): Greeting {
  if (!bytes.subarray(0, magic.length).equals(magic)) throw new LinkError('no greeting of a link')
  return {
    version: bytes[8]!,
    kind: bytes[9]!,
    window: bytes.readUInt32BE(12),
    streams: bytes.readUInt32BE(16),
    token: Buffer.from(bytes.subarray(20, greetingLength)),
  }
}

/** Stays with the socket, so it must not know what was read here. */
function ignore(): void {}

/**
 * Waits for `length` bytes on a connected socket, of either kind of reading, for `ms` milliseconds; 0: for ever. What
 * came behind them is put back; the socket is paused. Rejects with `LinkError`; the socket is then the caller's to end.
 */
export function readFirst(socket: Socket, length: number, ms: number): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  const take = (chunk: Buffer) => {
    chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    if (bytes.length < length) return true
    settle()
    if (bytes.length > length) socket.unshift(bytes.subarray(length))
    resolve(bytes.subarray(0, length))
    return false
  }
  const sink: Sink = { read: chunk => take(Buffer.from(chunk)) }
  const fail = (why: string) => {
    settle()
    reject(new LinkError(why))
  }
  const timer =
    ms > 0 ? setTimeout(() => fail(`${length} bytes did not come within ${ms} ms`), ms) : undefined
  const onError = (error: Error) => fail(error.message)
  const onClose = () => fail('closed before its first bytes')
  const settle = () => {
    clearTimeout(timer)
    socket.pause()
    socket.off('data', take)
    socket.off('error', onError)
    socket.off('end', onClose)
    socket.off('close', onClose)
    // Whoever takes over listens in this turn or the next; an error until then shows when it does.
    socket.on('error', ignore)
  }
  ;(socket as ReadSocket).sink = sink
  socket.on('data', take)
  socket.on('error', onError)
  socket.on('end', onClose)
  socket.on('close', onClose)
  socket.resume()
  return promise
}
