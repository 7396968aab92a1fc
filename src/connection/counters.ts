import { type RefusalReason, refusalReasons } from '../upstream/refusal-reason.ts'
import type { Carrier } from './carrier.ts'

/** What a forward counts; the meaning of each is told at `ForwardStatus`. Plain numbers: the byte path adds to them. */
export class Counters {
  accepted = 0
  checks = 0
  droppedTlvs = 0
  headerResets = 0
  /** Of connections that have ended. */
  receivedBytes = 0
  /** Of connections that have ended. */
  sentBytes = 0
  readonly refused = Object.fromEntries(refusalReasons.map(reason => [reason, 0])) as Record<
    RefusalReason,
    number
  >

  /** A connection has ended; it was carried like this, if it came so far. */
  carried(carrier: Pick<Carrier, 'receivedBytes' | 'sentBytes'> | undefined): void {
    this.receivedBytes += carrier?.receivedBytes ?? 0
    this.sentBytes += carrier?.sentBytes ?? 0
  }
}
