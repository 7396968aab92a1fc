import type { Socket } from 'node:net'

/** What net.Socket.resetAndDestroy sets; `_destroy` then closes with uv_tcp_close_reset, which sends RST. */
interface Resettable extends Socket {
  resetAndClosing: boolean
}

/**
 * Closes a connection with RST, at once.
 *
 * Not `socket.resetAndDestroy()`: that waits for pending writes, so for ever with a peer that does not read, and sends
 * FIN before the RST, so the peer may take a cut stream for a whole one. Nor while a shutdown is under way: libuv
 * refuses to reset then (EINVAL), and Node forgets the socket without closing it. Its FIN is on the way already.
 */
export function reset(socket: Socket): void {
  const shuttingDown = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0
  if (!socket.destroyed && !shuttingDown) (socket as Resettable).resetAndClosing = true
  socket.destroy()
}
