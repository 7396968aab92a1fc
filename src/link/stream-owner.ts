import type { Reset } from './reset-reason.ts'

/** How a stream ended. `local` is the socket at this end, `far` the one at the other. */
export type StreamEnd = 'complete' | 'local-reset' | 'far-reset' | 'link-lost' | 'aborted'

export interface StreamOwner {
  /** Called once: both directions are done and the local socket is closed, or the stream was cut. */
  streamEnded(end: StreamEnd, why: Reset | undefined): void
  /** One direction has ended, the other has not. */
  halfClosed(): void
}
