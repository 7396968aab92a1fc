import { type DropReason, dropReasons } from '../upstream/drop-reason.ts'

/** What a UDP forward counts of its datagrams; the meaning of each is told at `DatagramCounts`. */
export class DatagramCounters {
  /** Of flows that have ended. */
  received = 0
  /** Of flows that have ended. */
  sent = 0
  evicted = 0
  readonly dropped = Object.fromEntries(dropReasons.map(reason => [reason, 0])) as Record<DropReason, number>

  /** A flow has ended that had so many. */
  carried({ received, sent }: { readonly received: number; readonly sent: number }): void {
    this.received += received
    this.sent += sent
  }
}
