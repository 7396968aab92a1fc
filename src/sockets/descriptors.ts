import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { Log } from '../log/log.ts'
import { isGuaranteed, type Share, Shares } from './shares.ts'

/** What a process may hold open where the kernel does not tell: the usual soft limit. */
const usualLimit = 1024
/** For the admin server, health checks of targets, name queries, probes, files, and what the runtime itself has open. */
const reserve = 128
/** For links that come up again while clients have all that is theirs. */
const linkReserve = 64

/** Listeners of all forwards together. Each is a file, and some KiB here and in the kernel. */
export const mostListeners = 4096

/** How many files this process may hold open. Node has raised its soft limit to the hard one at its start. */
export function openFileLimit(read = () => readFileSync('/proc/self/limits', 'utf8')): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(read())?.[1]
    return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft ?? usualLimit)
  } catch {
    return usualLimit
  }
}

/** Of a limit, what listeners and connections may use. */
export function usableOf(limit: number): number {
  return Math.max(0, limit - reserve - linkReserve)
}

export const raiseOpenFiles =
  'raise it with `--ulimit nofile=N:N` of docker, LimitNOFILE= of systemd, or `ulimit -Hn` of the shell'

/**
 * The file descriptors of listeners, clients, targets and the link, counted before they are there: a connection that is
 * let in is certain to get those that it needs. One too many would not fail alone. Without a descriptor no dial, no
 * probe and no health check works, for anybody.
 *
 * A quarter of them is shared out among forwards, and a quarter among peers whose connections come through the tunnel: a
 * flood of one leaves the others what is theirs. The rest is for whoever comes first.
 */
export class Descriptors {
  readonly limit: number
  readonly forwards: Shares
  readonly peers: Shares
  readonly #usable: number
  #used = 0

  constructor(limit: number) {
    this.limit = limit
    // Without a limit it is Infinity, of which nothing can be taken away.
    this.#usable = Math.min(usableOf(limit), Number.MAX_SAFE_INTEGER)
    this.forwards = new Shares(this.#usable / 4)
    this.peers = new Shares(this.#usable / 4)
  }

  get used(): number {
    return this.#used
  }

  /** How many are left. */
  get free(): number {
    return this.#usable - this.#used
  }

  /** Whether one more connection to the link's port would be too many. */
  get isLinkReserveUsed(): boolean {
    return this.free <= -linkReserve
  }

  /** What is left is enough for so many connections; beyond that, clients are reset, counted as `descriptor-limit`. */
  tellLimit(log: Log): void {
    const { limit, free } = this
    const fields = { openFiles: limit, connections: Math.floor(free / 2), connectionsOverLink: free }
    log.info({ ...fields, more: raiseOpenFiles }, 'open files limit the connections')
  }

  /**
   * Why these may not have `count` more, for people; `undefined` when they may.
   * @param forward what they are for; without one, nothing that is kept for a forward.
   * @param peer where they came from, if that is known to be one.
   */
  shortage(count: number, forward?: Share, peer?: Share): string | undefined {
    const { free } = this
    if (free < count)
      return `${this.#used} descriptors are in use or spoken for, of ${this.limit} less a reserve`
    if (isGuaranteed(forward, count)) return undefined
    const ofPeers = peer === undefined || isGuaranteed(peer, count) ? 0 : this.peers.keptFrom(peer)
    const kept = this.forwards.keptFrom(forward) + ofPeers
    if (free - count >= kept) return undefined
    const has = [forward, peer].flatMap(share =>
      share === undefined
        ? []
        : [`${share.name} has ${share.used}, of which ${share.guaranteed} are certain`],
    )
    return [...has, `${free} of ${this.limit} descriptors are free, and kept for others`].join('; ')
  }

  take(count: number, forward?: Share, peer?: Share): void {
    this.#used += count
    if (forward !== undefined) this.forwards.use(forward, count)
    if (peer !== undefined) this.peers.use(peer, count)
  }

  /** Of what was taken for nobody in particular. */
  give(count: number): void {
    this.#used -= count
  }

  /** Takes one until the socket is closed. */
  hold(socket: Socket, peer?: Share): void {
    this.take(1, undefined, peer)
    socket.once('close', () => this.take(-1, undefined, peer))
  }
}
