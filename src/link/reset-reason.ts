/**
 * Why a stream was reset, as the frame tells it: the place in this list is the byte on the wire, so new ones go to the end.
 * Those behind the first are refusals by the end that the stream was opened to.
 */
export const resetReasons = [
  /** The socket was reset there, or what it was for has ended. */
  'reset',
  'no-listener',
  'proxy-not-accepted',
  'untrusted-source',
  'header-invalid',
  'header-timeout',
  'header-missing',
  'target-failed',
  'stream-limit',
  'draining',
  'denied',
  'connection-limit',
  'client-limit',
  'rate-limit',
  'descriptor-limit',
  'hello-timeout',
  'no-route',
  'loop',
  'no-tunnel-route',
] as const
export type ResetReason = (typeof resetReasons)[number]

/** Refusals that are about the end that refuses, not about the client: another end may take it. */
export const refusalsOfEnd: ReadonlySet<ResetReason> = new Set<ResetReason>([
  'no-listener',
  'proxy-not-accepted',
  'target-failed',
  'stream-limit',
  'draining',
  'descriptor-limit',
  'loop',
  'no-tunnel-route',
])

/** Of these, the ones of a moment: others may be taken all the same. */
export const refusalsOfMoment: ReadonlySet<ResetReason> = new Set<ResetReason>([
  'stream-limit',
  'descriptor-limit',
])

export interface Reset {
  readonly reason: ResetReason
  /** For people; may be empty. */
  readonly detail: string
}

/** Bytes of a detail; longer ones are cut, whoever sends them. */
const maxDetail = 512

export function encodeReset({ reason, detail }: Reset): Buffer {
  const text = Buffer.from(detail).subarray(0, maxDetail)
  return Buffer.concat([Buffer.from([resetReasons.indexOf(reason)]), text])
}

/** A reason that this version does not know is a plain reset. */
export function decodeReset(payload: Buffer): Reset {
  return {
    reason: resetReasons[payload[0] ?? 0] ?? 'reset',
    detail: payload.toString('utf8', 1, 1 + maxDetail),
  }
}
