import type { ForwardConfig } from '../config/config.ts'
import type { Session } from '../link/session.ts'
import type { Log } from '../log.ts'
import type { Share } from '../sockets/shares.ts'
import type { Loops } from '../upstream/loops.ts'
import type { Upstreams } from '../upstream/upstreams.ts'
import type { Ways } from '../ways.ts'
import type { Admission } from './admission.ts'
import type { Connection } from './connection.ts'
import type { Counters } from './counters.ts'
import type { Deadlines } from './deadlines.ts'
import type { ConnectionLines } from './lines.ts'
import type { ForwardStatus } from './status.ts'
import type { Tracing } from './trace.ts'

/** The forward that a connection belongs to. */
export interface ConnectionOwner {
  readonly config: ForwardConfig
  readonly upstreams: Upstreams
  readonly counters: Counters
  readonly admission: Admission
  readonly deadlines: Deadlines
  /** Takes descriptors, or gives them back; of who came through the tunnel, also in the name of that peer. */
  take(descriptors: number, peer: Share | undefined): void
  readonly log: Log
  readonly lines: ConnectionLines
  readonly logConnections: () => boolean
  readonly loops: Loops
  readonly ways: Ways
  /** A link to this address that takes streams now, where one may be used. */
  readonly linkTo: (address: string) => Session | undefined
  /** What is told of this end to who traces a connection. */
  readonly tracing: Tracing
  status(): ForwardStatus
  trusts(address: string): boolean
  ended(connection: Connection): void
}
