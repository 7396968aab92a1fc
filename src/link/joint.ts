import { systemCode } from '../errors.ts'
import type { ReadSocket, Sink } from '../sockets/reader.ts'

/**
 * A stream's ears on its sockets. State on the socket and functions that all share, because a closure per connection and
 * event costs memory for as long as the connection lasts.
 */
export interface Joined extends Sink {
  ended(socket: ReadSocket): void
  drained(socket: ReadSocket): void
  failed(socket: ReadSocket, detail: string): void
  closed(socket: ReadSocket): void
}

interface JoinedSocket extends ReadSocket {
  joined: Joined
}

export function join(socket: ReadSocket, joined: Joined): void {
  rejoin(socket, joined)
  socket.on('data', onData)
  socket.on('end', onEnd)
  socket.on('drain', onDrain)
  socket.on('error', onError)
  socket.on('close', onClose)
}

/** From now on with this, in the place of what it is joined with. */
export function rejoin(socket: ReadSocket, joined: Joined): void {
  ;(socket as JoinedSocket).joined = joined
  socket.sink = joined
}

/** Milliseconds for the end of a socket on which all has been said. */
const patience = 60_000

/** Reads one on which all has been said until it ends; one that moves nothing and does not end is closed. */
export function awaitEnd(socket: ReadSocket, ms = patience): void {
  socket.setTimeout(ms, onLate)
  socket.resume()
}

/** What it is joined with hears of it no more. */
export function leave(socket: ReadSocket): void {
  socket.off('data', onData)
  socket.off('end', onEnd)
  socket.off('drain', onDrain)
  socket.off('error', onError)
  socket.off('close', onClose)
}

/** Of what was put back into the socket, and where sockets have no static buffers. */
function onData(this: JoinedSocket, chunk: Buffer): void {
  if (!this.joined.read(chunk, false, this)) this.pause()
}

function onLate(this: ReadSocket): void {
  this.destroy(new Error('its far end did not close it'))
}

function onEnd(this: JoinedSocket): void {
  this.joined.ended(this)
}

function onDrain(this: JoinedSocket): void {
  this.joined.drained(this)
}

function onError(this: JoinedSocket, error: Error): void {
  this.joined.failed(this, systemCode(error) ?? error.message)
}

function onClose(this: JoinedSocket): void {
  this.joined.closed(this)
}
