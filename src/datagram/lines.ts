import type { ConnectionStatus } from '../connection/status.ts'
import { LineLimit } from '../log/line-limit.ts'
import type { Log } from '../log/log.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'

/** What is counted and logged of flows and of datagrams that go no further: one line a flow, at its end. */

/** Why a flow ended. */
export const flowEnds = [
  /** Nothing came from either side for `timeouts.udp`. */
  'idle',
  /** It had been idle for longest when there was no room for another one. */
  'evicted',
  'drain',
  /** Its sender's port has come to be another client's, or a reload took its target, its listener or its form. */
  'replaced',
  'no-tunnel-route',
  'target-failed',
] as const
export type FlowEnd = (typeof flowEnds)[number]

/** What a forward logs with. */
interface Teller {
  readonly log: Log
  /** Whether each flow gets a line at its end. */
  readonly logConnections: () => boolean
  readonly lines: FlowLines
}

/** What it counts with, and its lines. */
interface Counter<Reason extends string, Name extends string> {
  readonly counters: { readonly [name in Name]: Record<Reason, number> }
  readonly lines: FlowLines
}

/** The lines of a forward that its clients and targets could make a flood of. */
export interface FlowLines {
  readonly refused: LineLimit
  readonly dropped: LineLimit
  /** The ends of flows that their target sent nothing. */
  readonly unanswered: LineLimit
}

export function flowLines(log: Log, forward: string): FlowLines {
  return {
    refused: new LineLimit(log, 'flow refused', { forward }),
    // Where something is wrong it is every datagram: one line a minute, and one that counts the others.
    dropped: new LineLimit(log, 'datagrams dropped', { forward }, 1, 60_000),
    // A sender's address can be forged, so whoever likes makes thousands in a second.
    unanswered: new LineLimit(log, 'flow ended', { forward }),
  }
}

/** A datagram that could begin no flow. */
export function tellRefused(
  { counters, lines }: Counter<RefusalReason, 'refused'>,
  reason: RefusalReason,
  client: string,
  detail: string,
): void {
  counters.refused[reason]++
  lines.refused.warn(reason, { client, reason, detail })
}

/**
 * A datagram that goes no further.
 * @param sender `ip:port` that it came from: a client's, a proxy's or a target's.
 * @param bytes of the datagram.
 */
export function tellDropped(
  { counters, lines }: Counter<DropReason, 'dropped'>,
  reason: DropReason,
  sender: string,
  bytes: number,
  detail: string,
): void {
  counters.dropped[reason]++
  lines.dropped.warn(reason, { sender, bytes, reason, detail })
}

export function tellEnded(
  { log, logConnections, lines }: Teller,
  forward: string,
  { client, target, since, receivedBytes, sentBytes, datagrams, id }: ConnectionStatus,
  end: FlowEnd,
  detail = '',
): void {
  if (!logConnections()) return
  const fields = {
    ...{ forward, client, target, receivedBytes, sentBytes },
    ...datagrams,
    id,
    durationMs: Math.round(performance.now() - since),
    end,
    detail: detail || undefined,
  }
  if (datagrams !== undefined && datagrams.sent > 0) log.info(fields, 'flow ended')
  else lines.unanswered.info(end, fields)
}
