import { type ChildProcess, spawn as spawnProcess } from 'node:child_process'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { keepChild } from '../process/children.ts'
import { backoff } from './backoff.ts'
import type { Spawn } from './process.ts'

/** Milliseconds between two looks when many changes come: at least, at most, and as a multiple of what the last one took. */
const least = 50
const most = 1000
const share = 4
/** Milliseconds between two looks without a change: while the child tells of changes, and while it does not. */
const seldom = 30_000
const often = 3000
/** Milliseconds before the child is started again, at first and at most, and how long one lives that is well. */
const firstPause = 1000
const longestPause = 60_000
const isWellAfter = 60_000
/** Milliseconds that a killed child has to be gone: one that waits in the kernel may stay. */
const goneWithin = 1000

/**
 * Looks whenever links, addresses, routes or rules of this network namespace change, and now and then besides. A child,
 * `ip monitor`, tells of changes: Node.js has no netlink sockets. It needs no right at all.
 */
export class Monitor {
  readonly #look: () => Promise<void>
  readonly #log: Log
  readonly #spawn: Spawn
  #child: ChildProcess | undefined
  #startedAt = 0
  #deaths = 0
  #restart: NodeJS.Timeout | undefined
  #next: NodeJS.Timeout | undefined
  #isDue = false
  #isLooking = false
  #isClosed = false

  constructor(options: {
    readonly look: () => Promise<void>
    readonly log: Log
    readonly spawn?: Spawn | undefined
  }) {
    this.#look = options.look
    this.#log = options.log
    this.#spawn = options.spawn ?? spawnProcess
  }

  start(): void {
    this.#watch()
    this.look()
  }

  /** Soon: at once, or after the look that is under way. */
  look(): void {
    this.#isDue = true
    if (!this.#isLooking && !this.#isClosed) void this.#run()
  }

  /** After so many milliseconds, if there is no other look before. */
  lookIn(ms: number): void {
    clearTimeout(this.#next)
    if (!this.#isClosed) this.#next = setTimeout(() => this.look(), ms).unref()
  }

  /** Resolves when the child is gone, or should be. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#next)
    clearTimeout(this.#restart)
    const child = this.#child
    if (child === undefined) return
    const late = Promise.withResolvers<void>()
    const timer = setTimeout(late.resolve, goneWithin)
    child.once('close', () => late.resolve())
    child.ref()
    child.kill('SIGKILL')
    await late.promise
    clearTimeout(timer)
  }

  async #run(): Promise<void> {
    this.#isLooking = true
    while (this.#isDue && !this.#isClosed) {
      this.#isDue = false
      this.lookIn(this.#child === undefined ? often : seldom)
      const began = performance.now()
      await this.#look()
      const pause = Math.min(most, Math.max(least, share * (performance.now() - began)))
      await new Promise(resolve => setTimeout(resolve, pause).unref())
    }
    this.#isLooking = false
  }

  #watch(): void {
    const options = ['-o', 'monitor', 'link', 'address', 'route', 'rule']
    // Ctrl-C reaches all of the terminal's processes, and the end outlives it for as long as it drains.
    const child = this.#spawn('ip', options, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
    keepChild(child)
    this.#child = child
    this.#startedAt = performance.now()
    child.stdout?.on('data', () => this.look())
    // That changes came too fast for it, for one: some were not told.
    child.stderr?.on('data', () => this.look())
    child.on('error', error => this.#lost(child, messageOf(error)))
    child.on('exit', (code, signal) => this.#lost(child, `ended with ${signal ?? code}`))
    child.unref()
  }

  #lost(child: ChildProcess, why: string): void {
    if (this.#child !== child || this.#isClosed) return
    this.#child = undefined
    if (performance.now() - this.#startedAt >= isWellAfter) this.#deaths = 0
    const pause = backoff(this.#deaths++, firstPause, longestPause)
    this.#log.warn({ why, againInMs: pause }, 'ip monitor ended; changes of routes are found later')
    this.#restart = setTimeout(() => this.#watch(), pause).unref()
    this.look()
  }
}
