import type { TunnelConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { backoff } from './backoff.ts'
import type { Running } from './bring-up.ts'
import { type Losable, type Loss, losable } from './loss.ts'

/** Times that the same loss is put back at once: a network manager that restarts may take things more than once. */
const atOnce = 5
/** Milliseconds: the wait before the next time, at first and at most. */
const firstWait = 1000
const longestWait = 60_000
/** Milliseconds without a loss after which the next one is a new matter. */
const calm = 60_000

export interface KeeperOptions {
  readonly config: () => TunnelConfig
  /** Runs `work` while nothing else changes the device. */
  readonly alone: (work: (running: Running | undefined) => Promise<void>) => Promise<void>
  /** What is missing now. */
  readonly losses: () => Promise<Loss[]>
  /** Puts MTU, addresses and routes back, on a device that is there. */
  readonly putBack: () => Promise<void>
  /** To look again after so many milliseconds. */
  readonly lookIn: (ms: number) => void
  readonly log: Log
  readonly now: () => number
}

/**
 * Keeps what this program made of the device: what somebody else takes away is put back. With somebody who takes it
 * away again and again it does not race: it waits longer each time, and says so.
 */
export class Keeper {
  readonly #options: KeeperOptions
  #lost: readonly Loss[] = []
  readonly #restored = Object.fromEntries(losable.map(what => [what, 0])) as Record<Losable, number>
  /** How often each was put back, by its text, all within `calm` of each other. */
  readonly #times = new Map<string, number>()
  #lastAt = Number.NEGATIVE_INFINITY
  /** It had to wait. */
  #isContested = false
  #isLooking = false
  /** Something changed while it looked. */
  #isDue = false

  constructor(options: KeeperOptions) {
    this.#options = options
  }

  /** Looks, and puts back what is missing. Never rejects. */
  async look(): Promise<void> {
    this.#isDue = true
    if (this.#isLooking) return
    this.#isLooking = true
    const { alone, log } = this.#options
    while (this.#isDue) {
      this.#isDue = false
      try {
        await alone(running => this.#look(running))
      } catch (error) {
        log.warn({ error: messageOf(error), lost: this.#texts }, 'tunnel device not put back')
        this.#options.lookIn(Math.max(this.#wait, firstWait))
      }
    }
    this.#isLooking = false
  }

  /** A wireguard-go was started again, and found no device. */
  deviceMadeAgain(): void {
    this.#tell([{ what: 'device', text: `device ${this.#options.config().interface}` }], [])
  }

  /** How often each kind was put back. */
  get restored(): Readonly<Record<Losable, number>> {
    return this.#restored
  }

  reasons(): Reason[] {
    const isContested = this.#isContested && this.#options.now() - this.#lastAt < calm
    if (this.#lost.length === 0 && !isContested) return []
    const { interface: name } = this.#options.config()
    const lost =
      this.#lost.length === 0 ? `${name} is whole now` : `${name} has lost ${this.#texts.join(', ')}`
    const times = Math.max(0, ...this.#times.values())
    const what = isContested
      ? `another program has taken it away ${times} times; see what manages this host's network`
      : 'it is being put back'
    const isServing = this.#lost.every(({ serving }) => serving)
    return [{ code: 'device-changed', detail: `${lost}: ${what}`, ...(isServing && { serving: true }) }]
  }

  async #look(running: Running | undefined): Promise<void> {
    const { losses, now, lookIn } = this.#options
    // What a new wireguard-go needs is put there when it is started.
    if (running === undefined) {
      this.#lost = []
      return
    }
    this.#lost = await losses()
    if (this.#lost.length === 0) return
    const since = now() - this.#lastAt
    if (since >= calm) {
      this.#times.clear()
      this.#isContested = false
    }
    const wait = this.#wait - since
    this.#isContested ||= wait > 0
    if (wait > 0) {
      lookIn(wait)
      return
    }
    for (const text of this.#texts) this.#times.set(text, this.#timesOf(text) + 1)
    this.#lastAt = now()
    await this.#putBack(running)
  }

  async #putBack({ process }: Running): Promise<void> {
    const { losses, putBack } = this.#options
    const before = this.#lost
    // Its wireguard-go has nothing to read any more; the next one makes the device first.
    if (before.some(({ what }) => what === 'device')) await process.stop()
    else {
      await putBack()
      this.#lost = await losses()
      this.#tell(before, this.#lost)
    }
  }

  /** One line for all that came back, and one more for each kind of it. */
  #tell(before: readonly Loss[], after: readonly Loss[]): void {
    const back = before.filter(({ text }) => !after.some(loss => loss.text === text))
    if (back.length === 0) return
    for (const what of new Set(back.map(({ what }) => what))) this.#restored[what]++
    const { config, log } = this.#options
    const fields = { interface: config().interface, lost: back.map(({ text }) => text) }
    log.warn(fields, 'tunnel device put back')
  }

  /** Milliseconds from the last time to the next. */
  get #wait(): number {
    const times = Math.max(0, ...this.#texts.map(text => this.#timesOf(text)))
    return times < atOnce ? 0 : backoff(times - atOnce, firstWait, longestWait)
  }

  #timesOf(text: string): number {
    return this.#times.get(text) ?? 0
  }

  get #texts(): string[] {
    return this.#lost.map(({ text }) => text)
  }
}
