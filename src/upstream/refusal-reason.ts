/** Why connections end before they are relayed. */
export const refusalReasons = [
  'untrusted-source',
  'header-invalid',
  'header-timeout',
  'header-missing',
  'target-failed',
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
  // By the other end of a link:
  'no-listener',
  'proxy-not-accepted',
  'stream-limit',
] as const
export type RefusalReason = (typeof refusalReasons)[number]
