import { formatHostPort, type SocketAddress } from '../address.ts'
import type { Admission } from '../connection/admission.ts'
import type { Counters } from '../connection/counters.ts'
import type { ConnectionStatus } from '../connection/status.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { RestingPorts } from '../sockets/resting-ports.ts'
import type { Share } from '../sockets/shares.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { Loops } from '../upstream/loops.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { DatagramCounters } from './counters.ts'
import type { Door } from './door.ts'
import { FarEnd } from './far-end.ts'
import { Flow } from './flow.ts'
import type { FlowOwner } from './flow-owner.ts'
import { Flows } from './flows.ts'
import { type FlowEnd, type FlowLines, tellDropped, tellEnded, tellRefused } from './lines.ts'
import { Room } from './queue.ts'
import type { FlowSource } from './reading.ts'
import type { FormSender } from './sender.ts'

/** Milliseconds between two looks for flows that have been idle for long enough. */
const lookEvery = 250
/** Milliseconds of silence after which a flow is over for an end that drains. */
const quiet = 1000

/** The forward that the flows are of. */
export interface TableOwner
  extends Pick<FlowOwner, 'config' | 'upstreams' | 'ways' | 'isPeer' | 'wrapReply'> {
  readonly loops: Loops
  readonly log: Log
  readonly logConnections: () => boolean
  readonly lines: FlowLines
  readonly counters: Counters
  readonly datagrams: DatagramCounters
  readonly admission: Admission
  readonly descriptors: Descriptors
  readonly share: Share
  /** The peer through whose tunnel a datagram from this address came, if it came through the tunnel. */
  peerOf(address: string): Share | undefined
  /** Why nobody may come from this address now. */
  shutFor(address: string): string | undefined
  /** A flow begins whose datagrams come from this address. */
  began(address: string): void
  ended(flow: Flow): void
}

/** The flows of a forward. A datagram goes to its own, or begins one: at a bound, in the place of one that has long been idle. */
export class FlowTable implements FlowOwner {
  readonly #owner: TableOwner
  readonly #farEnds = new WeakMap<Target, FarEnd<FormSender>>()
  readonly resting = new RestingPorts()
  readonly room = new Room()
  readonly #flows = new Flows<Flow>()
  readonly #peers = new WeakMap<Flow, Share>()
  #timer: NodeJS.Timeout | undefined
  #drained: PromiseWithResolvers<void> | undefined

  constructor(owner: TableOwner) {
    this.#owner = owner
  }

  get config(): FlowOwner['config'] {
    return this.#owner.config
  }

  get upstreams(): FlowOwner['upstreams'] {
    return this.#owner.upstreams
  }

  get ways(): FlowOwner['ways'] {
    return this.#owner.ways
  }

  get size(): number {
    return this.#flows.size
  }

  /** The flow that has this key, which is used now, at this door. */
  use(key: string, door: Door, now: number): Flow | undefined {
    const flow = this.#flows.use(key, now)
    if (flow !== undefined) flow.door = door
    return flow
  }

  /** Begins a flow; `undefined` where there may be none, which is counted and told. */
  begin(key: string, source: FlowSource, door: Door, offset: number, now: number): Flow | undefined {
    const { admission, counters, descriptors, share, config } = this.#owner
    const { client, sender } = source
    const flow = new Flow(this, key, source, door, offset)
    const shut = this.#owner.shutFor(sender.address)
    if (shut !== undefined) return this.#refuse(client, 'no-tunnel-route', shut)
    if (this.#drained !== undefined) return this.#refuse(client, 'draining', 'this end drains')
    const refusal = admission.admit(flow, client.address)
    if (refusal !== undefined) return this.#refuse(client, refusal.reason, refusal.detail)
    this.#makeRoom(client.address, config.limits, now)
    const peer = this.#owner.peerOf(sender.address)
    let shortage = descriptors.shortage(1, share, peer)
    const idlest = this.#flows.idlest(now)
    // What another peer gives up is not free for this one.
    if (shortage !== undefined && idlest !== undefined && this.#peers.get(idlest) === peer) {
      this.#end(idlest, 'evicted')
      shortage = descriptors.shortage(1, share, peer)
    }
    if (shortage !== undefined) {
      admission.release(flow)
      return this.#refuse(client, 'descriptor-limit', shortage)
    }
    descriptors.take(1, share, peer)
    if (peer !== undefined) this.#peers.set(flow, peer)
    counters.accepted++
    this.#flows.add(flow, now)
    this.#timer ??= setInterval(() => this.#look(), lookEvery).unref()
    this.#owner.began(sender.address)
    flow.begin()
    return this.#flows.get(key) === flow ? flow : undefined
  }

  // What flows ask and tell.

  isPeer(address: string): boolean {
    return this.#owner.isPeer(address)
  }

  leadsBack(target: Target, port: number, told: SocketAddress): string | undefined {
    return this.#owner.loops.wayBack.of(this.#owner, target, port, told)
  }

  used(flow: Flow, now: number): void {
    this.#flows.used(flow, now)
  }

  farEnd(target: Target): FarEnd<FormSender> {
    const far = this.#farEnds.get(target) ?? new FarEnd<FormSender>()
    this.#farEnds.set(target, far)
    return far
  }

  wrapReply(reply: Buffer, source: FlowSource, door: Door): Buffer | 'too-big' {
    return this.#owner.wrapReply(reply, source, door)
  }

  dropped(reason: DropReason, sender: string, bytes: number, detail: string): void {
    const { datagrams: counters, lines } = this.#owner
    tellDropped({ counters, lines }, reason, sender, bytes, detail)
  }

  refused(flow: Flow, reason: RefusalReason, detail: string): void {
    this.#refuse(flow.source.client, reason, detail)
    this.#close(flow)
  }

  // What the forward tells.

  /** Ends those whose target, or listener, is none any more: what comes next begins with one that is. */
  retarget(): void {
    const targets = new Set(this.#owner.upstreams.targets)
    for (const flow of this.#flows.values())
      if (!flow.door.isOpen || (flow.target !== undefined && !targets.has(flow.target)))
        this.#end(flow, 'replaced')
  }

  /** Ends all: from now on the client is told in another form. */
  replaceAll(): void {
    for (const flow of this.#flows.values()) this.#end(flow, 'replaced')
  }

  /** Its neighbour sends for another client from the same port. */
  replace(key: string): void {
    const flow = this.#flows.get(key)
    if (flow !== undefined) this.#end(flow, 'replaced')
  }

  get addresses(): string[] {
    return Array.from(this.#flows.values()).flatMap(({ source, target }) => [
      source.sender.address,
      ...(target === undefined ? [] : [target.address]),
    ])
  }

  cut(address: string, why: string): void {
    for (const flow of this.#flows.values())
      if (flow.source.sender.address === address || flow.target?.address === address)
        this.#end(flow, 'no-tunnel-route', why)
  }

  status(): ConnectionStatus[] {
    return Array.from(this.#flows.values(), flow => flow.status())
  }

  /** Lets flows go on that are in the middle of something, until `signal` is aborted; new ones are refused. */
  async drain(signal: AbortSignal): Promise<void> {
    // A forward that was taken out of the config is drained once more with its end.
    this.#drained ??= Promise.withResolvers()
    const abort = () => {
      for (const flow of this.#flows.values()) this.#end(flow, 'drain')
    }
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    if (this.#flows.size === 0) this.#drained.resolve()
    await this.#drained.promise
  }

  #look(): void {
    const isDraining = this.#drained !== undefined
    const patience = isDraining ? quiet : this.#owner.config.timeouts.udp
    for (const flow of this.#flows.idle(performance.now(), patience))
      this.#end(flow, isDraining ? 'drain' : 'idle')
  }

  #makeRoom(
    address: string,
    { maxConnections, maxConnectionsPerClient }: TableOwner['config']['limits'],
    now: number,
  ): void {
    const client = this.#flows.of(address, now)
    if (maxConnectionsPerClient !== undefined && client.size >= maxConnectionsPerClient)
      this.#end(client.idlest!, 'evicted')
    else if (maxConnections !== undefined && this.#flows.size >= maxConnections)
      this.#end(this.#flows.idlest(now)!, 'evicted')
  }

  #refuse({ address, port }: SocketAddress, reason: RefusalReason, detail: string): undefined {
    tellRefused(this.#owner, reason, formatHostPort(address, port), detail)
  }

  #end(flow: Flow, end: FlowEnd, detail?: string): void {
    if (end === 'evicted') this.#owner.datagrams.evicted++
    tellEnded(this.#owner, this.#owner.config.name, flow.status(), end, detail)
    this.#close(flow)
  }

  #close(flow: Flow): void {
    if (!this.#flows.delete(flow)) return
    const { admission, counters, datagrams, descriptors, share } = this.#owner
    flow.close()
    admission.release(flow)
    descriptors.take(-1, share, this.#peers.get(flow))
    counters.carried(flow)
    datagrams.carried(flow)
    this.#owner.ended(flow)
    if (this.#flows.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#drained?.resolve()
  }
}
