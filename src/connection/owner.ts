import type { TcpForwardConfig } from '../config/config.ts'
import type { Session } from '../link/session.ts'
import type { Log } from '../log/log.ts'
import type { Share } from '../sockets/shares.ts'
import type { Loops } from '../upstream/loops.ts'
import type { Upstreams } from '../upstream/upstreams.ts'
import type { Ways } from '../ways.ts'
import type { Admission } from './admission.ts'
import type { Counters } from './counters.ts'
import type { Deadlines } from './deadlines.ts'
import type { ConnectionLines } from './lines.ts'
import type { ConnectionStatus, TcpForwardStatus } from './status.ts'
import type { Tracing } from './trace.ts'

/** What a forward has open: it lasts until it has told that it has ended. */
export interface OpenConnection {
  /** So many file descriptors are its own, or are going to be. */
  hold(descriptors: number): void
  status(): ConnectionStatus
  /** Looks whether they are still there whom nobody reads now. */
  look(): void
  /** Ends it, whatever it does now: the drain time is over. */
  abort(): void
  /** Ends it if it has to do with this address, to which data does not leave through the tunnel. */
  cut(address: string, why: string): void
  /** That it has to do with. */
  readonly addresses: readonly string[]
}

/** The forward that a connection belongs to. */
export interface ConnectionOwner {
  readonly config: TcpForwardConfig
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
  status(): TcpForwardStatus
  trusts(address: string): boolean
  ended(connection: OpenConnection): void
}
