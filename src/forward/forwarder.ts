import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatHostPort } from '../address.ts'
import type { ForwardConfig } from '../config/config.ts'
import { Deadlines } from '../connection/deadlines.ts'
import type { ConnectionStatus, ForwardStatus } from '../connection/status.ts'
import type { Arrival } from '../link/acceptor.ts'
import { type LinkStatus, Links, type LinksOptions } from '../link/links.ts'
import type { Reason } from '../reason.ts'
import { reset } from '../sockets/reset.ts'
import { Comebacks } from '../upstream/comebacks.ts'
import { WayBack } from '../upstream/way-back.ts'
import { Doors } from './doors.ts'
import type { Forward, ForwardOptions } from './forward.ts'
import type { Listener } from './listener.ts'
import { type Change, Listeners, type Taker } from './listeners.ts'
import { Peers } from './peers.ts'
import { type ForwardPlan, keyOf, linkPlan, wantedBy } from './plan.ts'
import { Reached } from './reached.ts'
import { Routes } from './routes.ts'
import { TcpForward } from './tcp-forward.ts'
import { UdpForward } from './udp-forward.ts'
import type { Receive } from './udp-listener.ts'

export interface ForwarderOptions
  extends Omit<ForwardOptions, 'deadlines' | 'linkTo' | 'peers' | 'targetChanged' | 'loops'>,
    Pick<LinksOptions, 'witness'> {
  /** A word for the peer whose endpoint is at this address, if one's is. */
  readonly peerAt?: (address: string) => string | undefined
}

/** Milliseconds between two looks for clients and targets that have gone while nobody read them. */
const lookEvery = 10_000

/**
 * The forwards of one end.
 *
 * Each client connection becomes one connection to the target, and each flow of datagrams one socket towards it, with the
 * client told in the way that the forward says. What this does not do: no TLS, no HTTP, no retry once a byte has been
 * sent, no address without a header.
 */
export class Forwarder implements Taker {
  readonly #options: ForwardOptions
  readonly #deadlines = new Deadlines()
  readonly #peers: Peers
  readonly #links: Links
  readonly reached: Reached
  /** By name. */
  #forwards = new Map<string, Forward>()
  /** Taken out of the config, with connections that still run. */
  readonly #retired = new Set<Forward>()
  readonly #listeners: Listeners
  readonly #routes = new Routes()
  readonly #doors: Doors
  readonly #looks: NodeJS.Timeout
  #isDraining = false

  constructor(options: ForwarderOptions) {
    const { log, witness, descriptors, ways } = options
    this.#listeners = new Listeners(this, options)
    this.#doors = new Doors(this.#listeners, this.#routes, () => this.#forwards.values())
    this.#peers = new Peers(descriptors.peers)
    this.#links = new Links({
      ...{ log, witness, descriptors, ways },
      peerOf: address => this.#peers.of(address),
      arrived: arrival => this.#arrived(arrival),
      accepted: session => {
        for (const { linkPort, isDead, upstreams } of this.#forwards.values())
          if (linkPort !== undefined && (isDead || upstreams.areServed()))
            session.tellTarget(linkPort, !isDead)
      },
      up: address => this.#each(({ upstreams }) => upstreams.retry(address)),
      draining: address => this.#each(({ upstreams }) => upstreams.drains(address)),
      targets: (address, states) => this.#each(({ upstreams }) => upstreams.told(address, states)),
    })
    this.reached = new Reached(this.#links, () => this.#all())
    this.#options = {
      ...options,
      deadlines: this.#deadlines,
      peers: this.#peers,
      loops: {
        wayBack: new WayBack(this.#routes, options.peerAt ?? (() => undefined)),
        comebacks: new Comebacks(),
      },
      linkTo: address => this.#links.to(address),
      targetChanged: forward => this.#changed(forward),
    }
    this.#looks = setInterval(() => {
      for (const forward of this.#all()) forward.look()
    }, lookEvery).unref()
  }

  /**
   * Binds what `plan` wants beyond what is bound already. With the first address that cannot be had it takes everything
   * back and rejects with `LISTEN_FAILED`. On `commit` forwards change to their new config, with their listeners and
   * connections kept; those left out get their time to finish.
   */
  async prepare(plan: ForwardPlan): Promise<Change> {
    const forwards = new Map(plan.forwards.map(config => [config.name, this.#forwardOf(config)]))
    const wanted = wantedBy(plan, forwards)
    const { commit: open, rollback } = await this.#listeners.prepare(wanted)
    const commit = () => {
      open()
      this.#routes.set(wanted)
      for (const config of plan.forwards) forwards.get(config.name)?.configure(config, plan.tunnelAddresses)
      for (const [name, forward] of this.#forwards)
        if (forwards.get(name) !== forward) this.#retire(forward, plan.drainTimeout)
      this.#forwards = forwards
      this.#options.descriptors.forwards.configure([...forwards.values()].map(({ share }) => share))
      this.#peers.configure(plan.peers)
      this.#doors.set()
      this.#links.configure(linkPlan(plan))
    }
    return { commit, rollback }
  }

  /** One that stays, unless it is of the other protocol now. */
  #forwardOf(config: ForwardConfig): Forward {
    const known = this.#forwards.get(config.name)
    if (known?.config.protocol === config.protocol) return known
    return config.protocol === 'tcp'
      ? new TcpForward(config, this.#options)
      : new UdpForward(config, this.#options)
  }

  accept(key: string, socket: Socket): void {
    const route = this.#routes.of(key)
    if (route === 'link') this.#links.accept(socket)
    else if (route?.forward instanceof TcpForward) route.forward.accept(socket, route.offset)
    else reset(socket.on('error', () => {})) // Before the first commit, or after the last.
  }

  receive(key: string, ...[bytes, sender, door]: Parameters<Receive>): void {
    const route = this.#routes.of(key)
    if (route === 'link' || !(route?.forward instanceof UdpForward)) return
    route.forward.receive(bytes, sender, door, route.offset)
  }

  #arrived(arrival: Arrival): void {
    const { localAddress, port } = arrival
    const route = this.#routes.at('tcp', localAddress, port)
    if (route === undefined || route === 'link' || !(route.forward instanceof TcpForward)) {
      const detail = `nothing listens on ${formatHostPort(localAddress, port)}`
      arrival.stream.abort({ reason: this.#isDraining ? 'draining' : 'no-listener', detail })
    } else route.forward.acceptStream(arrival, route.offset)
  }

  #retire(forward: Forward, drainTimeout: number): void {
    this.#retired.add(forward)
    void forward.drain(AbortSignal.timeout(drainTimeout)).then(() => this.#retired.delete(forward))
  }

  /** Whether others stand before this end, and send it their clients: they need time to hear that it goes. */
  get hasFront(): boolean {
    const forwards = [...this.#forwards.values()]
    return (
      this.#links.hasAccepted ||
      forwards.some(({ config }) => config.acceptProxy !== false || config.listen.host === 'tunnel')
    )
  }

  /** Tells those who stand before this end that it goes: by goaway on links, and by refusing checks. No client notices. */
  goaway(): void {
    this.#isDraining = true
    this.#links.goaway()
    for (const { admission } of this.#all()) admission.goaway()
  }

  /**
   * Ends in steps: clients are taken for another `delay` milliseconds, as many as still come; then those in the kernel's
   * queues are taken and nobody else; it is done when every connection has ended. What lives when `signal` aborts is reset.
   */
  async drain(signal: AbortSignal, delay = 0): Promise<void> {
    this.goaway()
    const [links, clients] = [this.#listenersOf('link'), this.#listenersOf('clients')]
    const { udp } = this.#listeners
    const linksClosed = Promise.all(links.map(listener => listener.drain(signal)))
    if (delay > 0) await sleep(delay, undefined, { signal }).catch(() => {})
    // None is opened again from here on.
    this.#listeners.forget()
    await Promise.all([linksClosed, ...clients.map(listener => listener.drain(signal))])
    this.#options.log.info({ connections: this.active }, 'listeners closed')
    this.#routes.closeTcp()
    this.#links.drain()
    await Promise.all(this.#all().map(forward => forward.drain(signal)))
    // Flows are answered through them.
    for (const listener of udp) listener.close()
    this.#routes.set([])
    await this.#links.close(signal)
    clearInterval(this.#looks)
    this.#deadlines.close()
  }

  #listenersOf(whose: 'link' | 'clients'): Listener[] {
    const isLink = (listener: Listener) => this.#routes.of(keyOf(listener)) === 'link'
    return this.#listeners.tcp.filter(listener => isLink(listener) === (whose === 'link'))
  }

  /** Open connections. */
  get active(): number {
    return this.#all().reduce((sum, forward) => sum + forward.opened.size, 0)
  }

  status(): ForwardStatus[] {
    return Array.from(this.#forwards.values(), forward => forward.status())
  }

  connections(): ConnectionStatus[] {
    return this.#all().flatMap(forward => forward.opened.status())
  }

  reasons(): Reason[] {
    return [
      ...[...this.#forwards.values()].flatMap(forward => forward.reasons()),
      ...this.#listeners.reasons(),
    ]
  }

  links(): LinkStatus[] {
    return this.#links.status()
  }

  /** A target of it is up, or down, or there are others. */
  #changed(forward: Forward): void {
    // Not one whose time has come or is over.
    if (this.#forwards.get(forward.config.name) !== forward) return
    const { isDead, linkPort: port } = forward
    const wasDead = this.#doors.areShutFor(forward)
    if (port !== undefined && (isDead || wasDead || forward.upstreams.areServed()))
      this.#links.tellTarget(port, !isDead)
    // Reached without a link, so there may be one now.
    for (const { address, state } of forward.upstreams.targets) if (state === 'up') this.#links.retry(address)
    if (isDead !== wasDead) this.#doors.setSoon()
  }

  #each(tell: (forward: Forward) => void): void {
    for (const forward of this.#forwards.values()) tell(forward)
  }

  #all(): Forward[] {
    return [...this.#forwards.values(), ...this.#retired]
  }
}
