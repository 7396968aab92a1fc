import { LineLimit } from '../log/line-limit.ts'
import type { Log } from '../log/log.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { CarrierEnd } from './carrier.ts'
import type { Counters } from './counters.ts'
import type { ConnectionStatus } from './status.ts'

/** What is counted and logged of a connection beside its bytes: one line at its end. */

/** A connection, and what its forward counts and logs with. */
interface Told {
  readonly forward: {
    readonly log: Log
    readonly logConnections: () => boolean
    readonly lines: ConnectionLines
    readonly counters: Counters
  }
  status(): ConnectionStatus
}

/** The lines of a forward that its clients and targets could make a flood of. */
export interface ConnectionLines {
  readonly refused: LineLimit
  readonly shortened: LineLimit
  readonly headerResets: LineLimit
  /** The ends of connections that their target sent nothing. */
  readonly unanswered: LineLimit
}

export function connectionLines(log: Log, forward: string): ConnectionLines {
  return {
    refused: new LineLimit(log, 'connection refused', { forward }),
    // With a bound that is too low for what comes it is every connection.
    shortened: new LineLimit(log, 'TLVs left out of a PROXY header: too long', { forward }, 1),
    headerResets: new LineLimit(log, 'target resets right behind the PROXY header', { forward }),
    // Come and go: whoever likes makes thousands in a second. Those that were answered have a line each.
    unanswered: new LineLimit(log, 'connection ended', { forward }),
  }
}

export function tellRefused(connection: Told, reason: RefusalReason, detail: string): void {
  const { client, serverName, target, id } = connection.status()
  const { counters, lines } = connection.forward
  counters.refused[reason]++
  lines.refused.warn(reason, { client, serverName, target, reason, detail, id })
}

/** A target did not take it, and the next one is asked. */
export function tellAttempt(connection: Told, { text: target }: Target, detail: string): void {
  const { forward, client, id } = connection.status()
  connection.forward.log.debug({ forward, client, target, detail, id }, 'target does not take a connection')
}

export function tellEnded(connection: Told, isCheck: boolean, end: CarrierEnd, detail: string): void {
  const { log, logConnections, lines } = connection.forward
  if (!isCheck && !logConnections()) return
  const { since, ...status } = connection.status()
  const fields = {
    ...status,
    durationMs: Math.round(performance.now() - since),
    end,
    detail: detail || undefined,
  }
  if (isCheck) log.debug(fields, 'check ended')
  else if (status.sentBytes > 0) log.info(fields, 'connection ended')
  else lines.unanswered.info(end, fields)
}

export function tellDropped(connection: Told, droppedTlvs: number): void {
  if (droppedTlvs === 0) return
  const { client, id } = connection.status()
  connection.forward.counters.droppedTlvs += droppedTlvs
  connection.forward.lines.shortened.warn('too-long', { client, id, droppedTlvs })
}

/** The target has reset it right behind its header. */
export function tellHeaderReset(connection: Told, headerBytes: number): void {
  const { client, serverName, target, id } = connection.status()
  connection.forward.counters.headerResets++
  connection.forward.lines.headerResets.warn(target ?? '', { client, serverName, target, headerBytes, id })
}
