import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { systemCode } from '../errors.ts'

/** Bytes up to which a write is tried without a stream's machinery: that of a larger one costs little beside it. */
export const small = 4096

/** What net.Socket is made of. */
interface Writable extends Socket {
  readonly _handle?: { readonly fd?: number } | null
}

/**
 * `socket.write` for what may be overwritten afterwards. Few bytes go to the kernel at once, in a system call and nothing
 * else, when nothing waits before them; a stream makes half a dozen objects for a write and a turn of its own. What the
 * kernel does not take is copied and waits in the socket as ever. A connection that has ended fails as ever, too: this
 * returns false, and the socket emits `error`.
 */
export function write(socket: Socket, bytes: Buffer, from = 0, to = bytes.length): boolean {
  const taken = to - from <= small && isIdle(socket) ? tryWrite(socket, bytes, from, to) : 0
  return from + taken === to || socket.write(Buffer.from(bytes.subarray(from + taken, to)))
}

/** Whether it is connected and takes bytes, and none of those that it was given wait. */
function isIdle(socket: Socket): boolean {
  return socket.writableLength === 0 && socket.writable && !socket.connecting
}

/** How many bytes the kernel has taken. */
function tryWrite(socket: Socket, bytes: Buffer, from: number, to: number): number {
  // Asked each time: a socket that is closed has none, and its number may be another one's by then.
  const fd = (socket as Writable)._handle?.fd ?? -1
  if (fd < 0) return 0
  try {
    return writeSync(fd, bytes, from, to - from)
  } catch (error) {
    // The kernel tells only once why a connection has ended: the stream's own try would be told EPIPE.
    if (systemCode(error) !== 'EAGAIN') socket.destroy(error as Error)
    return 0
  }
}
