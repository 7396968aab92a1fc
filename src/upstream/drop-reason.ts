/** Why single datagrams of a UDP forward go no further. Their flow, where there is one, goes on. */
export const dropReasons = [
  /** Longer than fits: with its header in one datagram, or through the tunnel. */
  'too-big',
  'header-invalid',
  'header-missing',
  'untrusted-source',
  /** A target's reply without the header that the form asks for, or with that of another client. */
  'reply-header',
  /** No room: in the socket's buffer, or among those that wait for a flow. */
  'backlog',
  'target-failed',
  /** It waited for a header of its flow, and none came in time. */
  'no-flow',
] as const
export type DropReason = (typeof dropReasons)[number]
