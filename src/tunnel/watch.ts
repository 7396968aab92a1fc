import type { TunnelConfig } from '../config/config.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import { type Running, setUpDevice } from './bring-up.ts'
import { isOurs, type Link } from './device.ts'
import { Guard } from './guard.ts'
import type { Ip } from './ip.ts'
import { Keeper } from './keeper.ts'
import { losses } from './loss.ts'
import { Monitor } from './monitor.ts'
import type { Peers } from './peers.ts'
import { addressOf } from './prober.ts'
import type { DeviceStatus } from './status.ts'

export interface WatchOptions {
  readonly ip: Ip
  /** As far as the path carries it. */
  readonly config: () => TunnelConfig
  readonly peers: Peers
  /** What the routes were given; it is set when they are put back. */
  readonly congestionControl: { value: string }
  /** Prefixes to which this run has made a route. */
  readonly made: Set<string>
  readonly alone: (work: (running: Running | undefined) => Promise<void>) => Promise<void>
  readonly log: Log
  readonly now: () => number
}

/** What others do to the device, its addresses, and the routes: seen at once, mended, and guarded against. */
export class Watch {
  readonly guard: Guard
  readonly #keeper: Keeper
  readonly #monitor: Monitor
  #isStarted = false
  /** Of the device that was marked as ours when it was last looked at. */
  #ifindex: number | undefined

  constructor({ ip, config, peers, congestionControl, made, alone, log, now }: WatchOptions) {
    const addresses = () =>
      [...peers].flatMap(({ config: peer, source }) => addressOf(peer, config().addresses, source) ?? [])
    this.guard = new Guard({ ip, config, peers: addresses, log, now })
    this.#keeper = new Keeper({
      config,
      alone,
      losses: () => losses(ip, config(), congestionControl.value, this.#isOurs, made),
      putBack: async () => {
        congestionControl.value = (await setUpDevice(ip, config(), log, made)).congestionControl
        await this.guard.look()
      },
      lookIn: ms => this.#monitor.lookIn(ms),
      log,
      now,
    })
    this.#monitor = new Monitor({
      look: () => {
        void this.#keeper.look()
        return this.guard.look()
      },
      log,
    })
  }

  /** A wireguard-go is up; `isFresh`: on a device that was not there. */
  up(isFresh: boolean): void {
    if (!this.#isStarted) this.#monitor.start()
    else {
      if (isFresh) this.#keeper.deviceMadeAgain()
      this.#monitor.look()
    }
    this.#isStarted = true
  }

  reasons(): Reason[] {
    return [...this.#keeper.reasons(), ...this.guard.reasons()]
  }

  status(): DeviceStatus {
    return { putBack: this.#keeper.restored, shut: this.guard.list() }
  }

  /** Somebody else may have taken its mark. */
  readonly #isOurs = (link: Link): boolean => {
    if (isOurs(link)) this.#ifindex = link.ifindex
    return this.#ifindex !== undefined && link.ifindex === this.#ifindex
  }

  close(): Promise<void> {
    return this.#monitor.close()
  }
}
