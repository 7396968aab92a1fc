import { formatHostPort, type SocketAddress } from '../address.ts'
import type { ConnectionStatus } from '../connection/status.ts'
import { isOutOfFiles, messageOf, systemCode } from '../errors.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { Door } from './door.ts'
import type { FlowOwner } from './flow-owner.ts'
import type { Placed } from './flows.ts'
import { newNonce } from './nonce.ts'
import { Outlet, type OutletOwner } from './outlet.ts'
import { Queue } from './queue.ts'
import type { FlowSource } from './reading.ts'

/** Bytes of a datagram that is kept until the next one: its target may turn out to be none, and another one gets it then. */
const mostKept = 1500

/**
 * The datagrams of one client with a forward, both ways: a socket of its own towards the target, which so sees each flow come
 * from another port. None is cut, joined or sent twice.
 */
export class Flow implements Placed, OutletOwner {
  readonly key: string
  /** Whose it is, as it was told last. */
  source: FlowSource
  /** Where the client had sent it: told by a header, or here. */
  readonly destination: SocketAddress
  /** The one that its client sends to: another one where that was closed and opened again. */
  door: Door
  readonly since = performance.now()
  usedAt = 0
  movedAt = 0
  /** Datagrams and bytes of payload from the client to the target, and the other way. */
  received = 0
  receivedBytes = 0
  sent = 0
  sentBytes = 0
  readonly #owner: FlowOwner
  /** How far into the ports of a range. */
  readonly #offset: number
  #tried: readonly Target[] = []
  #target: Target | undefined
  /** The way to the target; `#outlet` once it can be sent on. */
  #opening: Outlet | undefined
  #outlet: Outlet | undefined
  /** What came before there was a target. */
  readonly #early: Queue
  /** The latest datagram. */
  #last: Buffer | undefined
  #isOver = false

  constructor(owner: FlowOwner, key: string, source: FlowSource, door: Door, offset: number) {
    this.#owner = owner
    this.key = key
    this.source = source
    this.destination = source.destination ?? door.local
    this.door = door
    this.#offset = offset
    this.#early = new Queue(owner.room)
  }

  get address(): string {
    return this.source.client.address
  }

  get target(): Target | undefined {
    return this.#target
  }

  /** Looks for a target. */
  begin(): void {
    const upstream = this.#owner.upstreams.any
    let reason: RefusalReason = 'target-failed'
    let why = upstream.why
    for (;;) {
      const target = upstream.pick(this.#tried)
      if (target === undefined) break
      this.#tried = [...this.#tried, target]
      const loop = this.#loop(target)
      const shut = this.#owner.ways.shut(target.address)
      if (loop === undefined && shut === undefined) {
        this.#use(target)
        return
      }
      reason = loop === undefined ? 'no-tunnel-route' : 'loop'
      why = `${this.#portOf(target)}: ${loop ?? shut}`
      if (loop === undefined) upstream.failed(target, shut!)
      else target.failed(loop, true)
    }
    const { query } = upstream
    if (query !== undefined) void query.then(() => !this.#isOver && this.begin())
    else if (this.#target === undefined) this.#owner.refused(this, reason, why)
  }

  /** A datagram of the client. Its memory is the flow's from now on. */
  take(payload: Buffer, now: number): void {
    if (this.#outlet !== undefined) this.#send(payload, now)
    else if (!this.#early.add(payload))
      this.unsent('backlog', payload.length, 'the name of its target has no address yet')
  }

  /** Nothing comes or goes any more. */
  close(): void {
    this.#isOver = true
    this.#early.take()
    this.#leave()
  }

  status(): ConnectionStatus {
    const { client } = this.source
    return {
      forward: this.#owner.config.name,
      client: formatHostPort(client.address, client.port),
      serverName: undefined,
      target: this.#target && this.#portOf(this.#target),
      since: this.since,
      receivedBytes: this.receivedBytes,
      sentBytes: this.sentBytes,
      id: undefined,
      datagrams: { received: this.received, sent: this.sent },
    }
  }

  // What the way to the target tells.

  replied(payload: Buffer): void {
    const target = this.#target!
    this.#last = undefined
    if (target.state !== 'up' && !target.isDead) target.succeeded()
    const { door, source } = this
    const { length } = payload
    if (!door.isOpen) {
      // Nor is it a use: a flow that nobody can hear of is to end.
      this.dropped('backlog', length, `nothing listens on ${door.text} any more`)
      return
    }
    this.#owner.used(this, performance.now())
    const header = this.#owner.wrapReply(payload, source, door)
    if (header === 'too-big') this.dropped('too-big', length, `${door.payloadLimit} bytes leave in one piece`)
    else if (!door.send(header.length === 0 ? payload : [header, payload], source.sender))
      this.dropped('backlog', length, 'more comes than leaves this host')
    else {
      this.sent++
      this.sentBytes += length
    }
  }

  unsent(reason: DropReason, bytes: number, detail: string): void {
    const { address, port } = this.source.sender
    this.#owner.dropped(reason, formatHostPort(address, port), bytes, detail)
  }

  dropped(reason: DropReason, bytes: number, detail: string): void {
    this.#owner.dropped(reason, this.#portOf(this.#target!), bytes, detail)
  }

  /** What was sent last goes to another target, if there is one. */
  failed(error: Error): void {
    const target = this.#target!
    const { any: upstream } = this.#owner.upstreams
    const why = systemCode(error) ?? messageOf(error)
    // Without a descriptor of ours nothing was learned of the target.
    if (!isOutOfFiles(why)) upstream.failed(target, why)
    if (this.#outlet === undefined || upstream.hasAnother(target, this.#tried)) {
      if (this.#last !== undefined) this.#early.add(this.#last)
      this.#leave()
      this.begin()
    } else {
      this.unsent('target-failed', this.#last?.length ?? 0, `${this.#portOf(target)}: ${why}`)
      // It may be there again any moment; whoever else failed, too.
      this.#tried = [target]
    }
  }

  #loop(target: Target): string | undefined {
    return this.#owner.leadsBack(target, target.port + this.#offset, this.destination)
  }

  #portOf({ address, port }: Target): string {
    return formatHostPort(address, port + this.#offset)
  }

  /** From now on this target gets what comes, in its form. */
  #use(target: Target): void {
    const { config, ways, resting } = this.#owner
    const { client, tlvs } = this.source
    this.#target = target
    target.open++
    const outlet = new Outlet({ address: target.address, port: target.port + this.#offset }, this, resting)
    this.#opening = outlet
    const { source } = outlet
    // Why it could not connect comes in a moment.
    if (source === undefined) return
    const astray = ways.astray(target.address, { localAddress: source.address })
    if (astray !== undefined) {
      this.failed(new Error(astray))
      return
    }
    const mayBeOurs = config.sendProxy === 'v2-every' && this.#owner.isPeer(target.address)
    const told = {
      ...{ form: config.sendProxy, client, destination: this.destination, tlvs },
      limit: config.proxyHeaderLimit,
      proxyFirst: config.timeouts.proxyFirst,
      nonce: mayBeOurs ? newNonce() : undefined,
    }
    outlet.open(told, this.#owner.farEnd(target))
    this.#outlet = outlet
    const now = performance.now()
    for (const payload of this.#early.take()) this.#send(payload, now)
  }

  #send(payload: Buffer, now: number): void {
    this.#last = payload.length > mostKept ? undefined : payload
    if (!this.#outlet!.send(payload, now)) return
    this.received++
    this.receivedBytes += payload.length
  }

  #leave(): void {
    this.#opening?.close()
    this.#opening = this.#outlet = this.#last = undefined
    if (this.#target !== undefined) this.#target.open--
    this.#target = undefined
  }
}
