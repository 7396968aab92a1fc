import type { Socket } from 'node:net'

/** What libuv is told to watch, kept by Node at its handle. */
interface Handled extends Socket {
  readonly _handle?: { readonly reading?: boolean } | null
}

const nothing = Buffer.alloc(0)

/**
 * Asks the kernel whether connections are still there, where nothing else would tell. libuv watches a socket that it reads
 * or has to write; the end of one that is paused is not heard, not even a reset, and both sides of a relay would stay
 * open while the other side reads nothing. Writing nothing sends nothing, and fails where the connection has ended: with
 * ECONNRESET, EPIPE, or ETIMEDOUT once keepalive has given up. The socket then emits `error` as ever.
 */
export function askUnheard(...sockets: readonly (Socket | undefined)[]): void {
  for (const socket of sockets) {
    if (socket === undefined || socket.destroyed || socket.connecting || isHeard(socket)) continue
    if (!socket.writableEnded && socket.writableLength === 0) socket.write(nothing)
  }
}

function isHeard(socket: Handled): boolean {
  return socket._handle?.reading === true && !socket.readableEnded
}
