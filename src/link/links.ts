import type { Socket } from 'node:net'
import { type Cidr, unmap } from '../address.ts'
import { Prefixes } from '../config/prefixes.ts'
import { LineLimit } from '../log/line-limit.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { reset } from '../sockets/reset.ts'
import type { Share } from '../sockets/shares.ts'
import type { Ways } from '../ways.ts'
import { Acceptor, type Arrival } from './acceptor.ts'
import { Bundle } from './bundle.ts'
import type { PingWitness } from './pulse.ts'
import type { Session } from './session.ts'

export interface LinksOptions {
  readonly log: Log
  readonly witness?: PingWitness | undefined
  readonly descriptors: Descriptors
  readonly ways: Ways
  /** The peer that has this address. */
  readonly peerOf: (address: string) => Share
  /** A stream that another end opened. */
  readonly arrived: (arrival: Arrival) => void
  /** A link was dialled to this end. */
  readonly accepted: (session: Session) => void
  /** A link to this address is up. */
  readonly up: (address: string) => void
  /** The far end there is going. */
  readonly draining: (address: string) => void
  /** The far end tells of ports, each with whether a target behind it is up. */
  readonly targets: (address: string, states: ReadonlyMap<number, boolean>) => void
}

/** Which links there should be. */
export interface LinkPlan {
  readonly port: number
  /** Links to each peer. */
  readonly perPeer: number
  /** Tunnel addresses of peers that forwards send to. */
  readonly addresses: ReadonlySet<string>
  /** Ports that forwards send to: what far ends tell of others is not remembered. */
  readonly ports: ReadonlySet<number>
  /** Who may open one here. */
  readonly trusted: readonly Cidr[]
}

/** What a link shows of itself. */
export interface LinkStatus {
  /** Of the far end. */
  readonly address: string
  readonly role: 'dialled' | 'accepted'
  /** `down`: connections cross the tunnel one by one. */
  readonly state: 'up' | 'down'
  /** On performance.now()'s clock. */
  readonly since: number | undefined
  readonly streams: number
  readonly promoted: number
  /** Milliseconds of the last ping; `undefined` while its answer is late. */
  readonly rtt: number | undefined
}

/** All links of one end: those it dials and those it accepts. */
export class Links {
  readonly #options: LinksOptions
  readonly #acceptor: Acceptor
  #bundles = new Map<string, Bundle>()
  #trusted = new Prefixes([])
  readonly #strangers: LineLimit

  constructor(options: LinksOptions) {
    this.#options = options
    this.#acceptor = new Acceptor(options)
    this.#strangers = new LineLimit(options.log, 'link refused')
  }

  /** From now on these; links that are no longer wanted end with their last stream. */
  configure(plan: LinkPlan | undefined): void {
    this.#trusted = new Prefixes(plan?.trusted ?? [])
    const before = this.#bundles
    this.#bundles = new Map()
    for (const address of plan?.addresses ?? []) {
      const known = before.get(address)
      const keep = known?.port === plan!.port && known.size === plan!.perPeer
      this.#bundles.set(address, keep ? known : this.#bundle(address, plan!))
      if (!keep) continue
      known.news.ports = plan!.ports
      before.delete(address)
    }
    for (const bundle of before.values()) bundle.close()
    if (plan === undefined) this.#acceptor.retire()
  }

  /** A connection to the link's port. */
  accept(socket: Socket): void {
    const address = unmap(socket.remoteAddress ?? '')
    const isTrusted = this.#trusted.has(address)
    const why = isTrusted ? this.#options.ways.heard(address) : 'no peer has this address'
    if (why === undefined) this.#acceptor.accept(socket)
    else {
      socket.on('error', () => {})
      reset(socket)
      this.#strangers.warn(isTrusted ? 'no-tunnel-route' : 'untrusted', { address, why })
    }
  }

  /** A link to this address that takes new streams now. */
  to(address: string): Session | undefined {
    return this.#bundles.get(address)?.session
  }

  /** The path to this address has come back. */
  retry(address: string): void {
    this.#bundles.get(address)?.retry()
  }

  /** Of all far ends. */
  get addresses(): string[] {
    return [...this.#bundles.keys(), ...Array.from(this.#sessions(), session => session.remoteAddress)]
  }

  /** Cuts the links with this address, and their lanes. */
  cut(address: string, why: string): void {
    for (const dialler of this.#diallers()) if (dialler.address === address) dialler.cut()
    for (const session of [...this.#sessions()]) if (session.remoteAddress === address) session.close(why)
  }

  /** Tells the ends that dialled one how the target behind a port does. */
  tellTarget(port: number, isUp: boolean): void {
    for (const session of this.#acceptor.sessions) session.tellTarget(port, isUp)
  }

  /** Whether other ends have dialled one to this. */
  get hasAccepted(): boolean {
    return !this.#acceptor.isIdle
  }

  /** Takes no more links, and tells those who dialled one to open no more streams. */
  goaway(): void {
    this.#acceptor.drain()
  }

  /** Opens no more streams. */
  drain(): void {
    for (const bundle of this.#bundles.values()) bundle.close()
  }

  /** Ends all links; what they sent last arrives, unless `signal` is aborted before. */
  async close(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from(this.#sessions(), session => session.finish('this end stops', signal)))
  }

  status(): LinkStatus[] {
    const dialled = this.#diallers().map(({ address, sessions }) => statusOf(address, 'dialled', sessions[0]))
    const accepted = Array.from(this.#acceptor.sessions, session =>
      statusOf(session.remoteAddress, 'accepted', session),
    )
    return [...dialled, ...accepted]
  }

  *#sessions(): Iterable<Session> {
    for (const dialler of this.#diallers()) yield* dialler.sessions
    yield* [...this.#acceptor.sessions]
  }

  #diallers() {
    return [...this.#bundles.values()].flatMap(bundle => bundle.diallers)
  }

  #bundle(address: string, { port, perPeer, ports }: LinkPlan): Bundle {
    const { log, witness, descriptors, ways, peerOf, up, draining, targets } = this.#options
    return new Bundle(address, port, perPeer, {
      peer: peerOf(address),
      log,
      witness,
      descriptors,
      ways,
      ports,
      up: () => up(address),
      draining: () => draining(address),
      targets: states => targets(address, states),
    })
  }
}

function statusOf(address: string, role: LinkStatus['role'], session: Session | undefined): LinkStatus {
  return {
    address,
    role,
    state: session?.isReady ? 'up' : 'down',
    since: session?.since,
    streams: session?.streams ?? 0,
    promoted: session?.promoted ?? 0,
    rtt: session?.roundTrip,
  }
}
