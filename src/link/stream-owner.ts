import type { Reset } from './reset-reason.ts'

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
