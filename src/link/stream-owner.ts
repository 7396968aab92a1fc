import type { Socket } from 'node:net'
import type { Reset } from './reset-reason.ts'
import type { Sender } from './senders.ts'
import type { Holdings } from './unread.ts'

/** How a stream ended. `local` is the socket at this end, `far` the one at the other. */
export type StreamEnd = 'complete' | 'local-reset' | 'far-reset' | 'link-lost' | 'aborted'

/** Bytes: the longest PROXY header that an end sends. */
export const beginning = 1536

export interface StreamOwner {
  /**
   * It was cut. Whether the owner takes the local socket back as it is, to join it with something else: then that is not
   * reset, and `streamEnded` is not called.
   */
  takesBack?(end: StreamEnd, why: Reset | undefined): boolean
  /** Called once: both directions are done and the local socket is closed, or the stream was cut. */
  streamEnded(end: StreamEnd, why: Reset | undefined): void
  /** One direction has ended, the other has not. */
  halfClosed(): void
  /** The first bytes of the local socket, up to `beginning` and no more than a read beyond. Returns whether to go on. */
  begins?(bytes: Buffer): boolean
  /** The far end has answered: by bytes, an end or credit. Called more than once. */
  answered?(): void
}

/** What a link asks of a stream that it carries. */
export interface LinkedStream extends Sender {
  readonly id: number
  /** Whether its bytes travel on a lane. */
  readonly isPromoted: boolean
  /** From here its bytes travel on `lane`. */
  promote(lane: Socket): void
}

/** What a stream asks of its link. */
export interface StreamLink {
  /** What the streams of this peer hold, on all its links. */
  readonly holdings: Holdings
  /** Whether the link does not take what it has. */
  readonly isFull: boolean
  /** Sends a frame of this type about the stream of this number. */
  send(stream: number, type: number, payload?: Buffer): void
  /** Returns whether the link takes more of this stream at once; `unblock` tells when it does again. */
  sendData(stream: LinkedStream, bytes: Buffer): boolean
  /** Bytes of a stream that may be on the way to this end. */
  windowOf(stream: LinkedStream): number
  /** So many bytes came in on a lane. */
  delivered(bytes: number): void
  /** Moves a stream to a lane where there is one for it; at the end that was dialled, asks the far end to. */
  promote(stream: LinkedStream): void
  /** The far end would like to have a stream promoted. */
  wanted(stream: LinkedStream): void
  /** The stream is over. */
  remove(stream: LinkedStream): void
}
