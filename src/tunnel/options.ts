import { monotonic } from '../clock.ts'
import type { Log } from '../log/log.ts'
import type { Binary } from './binary.ts'
import { type Ip, ip } from './ip.ts'
import type { Resolve } from './names.ts'
import type { Probes } from './prober.ts'
import type { Spawn } from './process.ts'

/** What a tunnel needs beside its config. */
export interface TunnelOptions extends Probes {
  readonly log: Log
  readonly binary: Binary
  readonly resolve: Resolve
  /** Where the sockets of wireguard-go are: compiled into it, so anything else is for tests. */
  readonly runFolder?: string
  /** Milliseconds of a clock that nobody sets. */
  readonly now?: () => number
  /** The moment on it of a time since the epoch. */
  readonly momentOf?: (time: number) => number
  readonly spawn?: Spawn
  readonly ip?: Ip
}

export const defaults = { now: monotonic, ip, runFolder: '/var/run/wireguard' }
