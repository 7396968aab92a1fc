import type { ForwardConfig } from '../config/config.ts'
import type { Session } from '../link/session.ts'
import type { Log } from '../log.ts'
import type { Admission } from './admission.ts'
import type { Connection } from './connection.ts'
import type { Counters } from './counters.ts'
import type { Deadlines } from './deadlines.ts'
import type { Target } from './target.ts'
import type { End } from './trace.ts'

/** The forward that a connection belongs to. */
export interface ConnectionOwner {
  readonly config: ForwardConfig
  readonly target: Target
  readonly counters: Counters
  readonly admission: Admission
  readonly deadlines: Deadlines
  readonly log: Log
  readonly logConnections: () => boolean
  readonly resolve: (host: string) => Promise<readonly string[]>
  /** A link to the target, where there is one now. */
  readonly link: () => Session | undefined
  /** What is told of this end to who traces a connection. */
  readonly end: () => End
  trusts(address: string): boolean
  ended(connection: Connection): void
}
