import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import { backoff } from './backoff.ts'
import type { Running } from './bring-up.ts'
import type { ProcessStatus } from './status.ts'

/** Milliseconds that wireguard-go has to become ready: at first a person waits for it, later nobody does. */
const firstPatience = 1500
const patience = 10_000
/** Milliseconds: the wait before a restart, but for the first one, which is at once, and how long it has to run for that. */
const firstRetry = 100
const lastRetry = 10_000
const healthyAfter = 60_000

type State =
  | { readonly name: 'starting'; readonly since: number }
  | { readonly name: 'running'; readonly since: number; readonly running: Running }
  | { readonly name: 'down'; readonly since: number; readonly why: string }

/** Keeps a wireguard-go running: starts it again whenever it ends, whatever the reason. */
export class Supervisor {
  readonly #bringUp: (patience: number, signal: AbortSignal) => Promise<Running>
  readonly #onRunning: (running: Running) => void
  readonly #log: Log
  readonly #now: () => number
  #state: State
  #restarts = 0
  #supervising: Promise<void> | undefined
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: {
    readonly bringUp: (patience: number, signal: AbortSignal) => Promise<Running>
    /** Called for each wireguard-go that is up. */
    readonly onRunning: (running: Running) => void
    readonly log: Log
    readonly now: () => number
  }) {
    this.#bringUp = options.bringUp
    this.#onRunning = options.onRunning
    this.#log = options.log
    this.#now = options.now
    this.#state = { name: 'starting', since: options.now() }
  }

  /** The first start: rejects with what kept it from being one. From then on every end is followed by a start, until `stop`. */
  async start(signal: AbortSignal, stop: AbortSignal): Promise<void> {
    await this.#start(firstPatience, signal)
    this.#supervising = this.#supervise(stop)
  }

  /** Runs `work` when nothing else does, and while no wireguard-go is being started. */
  alone<T>(work: (running: Running | undefined) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => work(this.running))
    this.#last = result.catch(() => {})
    return result
  }

  async #supervise(signal: AbortSignal): Promise<void> {
    const stopped = once(signal, 'abort')
    let failures = 0
    while (!signal.aborted) {
      if (this.#state.name === 'running') {
        const { since, running } = this.#state
        const how = await Promise.race([running.process.exited, stopped])
        if (typeof how !== 'string') return
        if (this.#now() - since >= healthyAfter) failures = 0
        running.uapi.close()
        this.#enterDown(how)
      }
      const wait = failures === 0 ? 0 : backoff(failures - 1, firstRetry, lastRetry)
      failures++
      try {
        await sleep(wait, undefined, { signal })
        this.#restarts++
        await this.#start(patience, signal)
      } catch (error) {
        if (!signal.aborted) this.#enterDown(error instanceof EndError ? error.line : messageOf(error))
      }
    }
  }

  /** The wireguard-go that runs now. */
  get running(): Running | undefined {
    return this.#state.name === 'running' ? this.#state.running : undefined
  }

  /** Whether there was a first start. */
  get isStarted(): boolean {
    return this.#state.name !== 'starting'
  }

  /** Why none runs. */
  get down(): string | undefined {
    return this.#state.name === 'down' ? this.#state.why : undefined
  }

  status(): ProcessStatus {
    const { name: state, since } = this.#state
    return { state, since, pid: this.running?.process.pid, restarts: this.#restarts }
  }

  /** After `stop` was aborted: ends what runs. */
  async close(): Promise<void> {
    await this.#supervising
    await this.#last
    const { running } = this
    this.#state = { name: 'down', since: this.#now(), why: 'closed' }
    running?.uapi.close()
    await running?.process.stop()
  }

  #start(patience: number, signal: AbortSignal): Promise<void> {
    return this.alone(async () => this.#enterRunning(await this.#bringUp(patience, signal)))
  }

  #enterRunning(running: Running): void {
    this.#state = { name: 'running', since: this.#now(), running }
    this.#onRunning(running)
  }

  #enterDown(why: string): void {
    this.#log.error({ why, restarts: this.#restarts }, 'wireguard-go is not running')
    this.#state = { name: 'down', since: this.#now(), why }
  }
}
