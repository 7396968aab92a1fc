import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:dgram'
import { formatHostPort } from '../address.ts'
import type { ConnectionStatus } from '../connection/status.ts'
import { messageOf, systemCode } from '../errors.ts'
import { nonceLength } from '../proxy/flow-mark.ts'
import { connectDatagrams, mostQueued, sourceOf } from '../sockets/datagram.ts'
import { payloadLimit } from '../sockets/mtu.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import type { Door } from './door.ts'
import type { FlowClient, FlowOwner } from './flow-owner.ts'
import type { Placed } from './flows.ts'
import { Queue } from './queue.ts'
import { FormSender, whyUnsent } from './sender.ts'

/** Bytes of a datagram that is kept until the next one: its target may turn out to be none, and another one gets it then. */
const mostKept = 1500

/**
 * The datagrams of one client with a forward, both ways: a socket of its own towards the target, which so sees each flow come
 * from another port. None is cut, joined or sent twice.
 */
export class Flow implements Placed {
  readonly key: string
  readonly client: FlowClient
  readonly door: Door
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
  #socket: Socket | undefined
  #sender: FormSender | undefined
  /** What came before there was a target. */
  readonly #early = new Queue()
  /** The latest datagram. */
  #last: Buffer | undefined
  #isOver = false

  constructor(owner: FlowOwner, key: string, client: FlowClient, door: Door, offset: number) {
    this.#owner = owner
    this.key = key
    this.client = client
    this.door = door
    this.#offset = offset
  }

  get address(): string {
    return this.client.client.address
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
    if (this.#sender !== undefined) this.#forward(payload, now)
    else if (!this.#early.add(payload))
      this.#drop('backlog', payload, 'the name of its target has no address yet')
  }

  /** Nothing comes or goes any more. */
  close(): void {
    this.#isOver = true
    this.#last = undefined
    this.#leave()
  }

  status(): ConnectionStatus {
    const { client: source } = this.client
    return {
      forward: this.#owner.config.name,
      client: formatHostPort(source.address, source.port),
      serverName: undefined,
      target: this.#target && this.#portOf(this.#target),
      since: this.since,
      receivedBytes: this.receivedBytes,
      sentBytes: this.sentBytes,
      id: undefined,
      datagrams: { received: this.received, sent: this.sent },
    }
  }

  #loop(target: Target): string | undefined {
    const { loops } = this.#owner
    return loops.wayBack.of(this.#owner, target, target.port + this.#offset, this.client.destination)
  }

  #portOf({ address, port }: Target): string {
    return formatHostPort(address, port + this.#offset)
  }

  /** From now on this target gets what comes, in its form. */
  #use(target: Target): void {
    this.#leave()
    const { config, ways } = this.#owner
    const { client, destination, tlvs } = this.client
    const failed = (error: Error) => this.#socket === socket && this.#failed(error)
    const socket = connectDatagrams(target.address, target.port + this.#offset, failed)
    this.#socket = socket
    this.#target = target
    target.open++
    const local = sourceOf(socket)
    // Why it could not connect comes in a moment.
    if (local === undefined) return
    const astray = ways.astray(target.address, { localAddress: local })
    if (astray !== undefined) {
      this.#failed(new Error(astray))
      return
    }
    const mayBeOurs = config.sendProxy === 'v2-every' && this.#owner.isPeer(target.address)
    const told = {
      ...{ form: config.sendProxy, client, destination, tlvs },
      limit: config.proxyHeaderLimit,
      mtuPayload: payloadLimit(local),
      proxyFirst: config.timeouts.proxyFirst,
      nonce: mayBeOurs ? randomBytes(nonceLength) : undefined,
    }
    this.#sender = new FormSender(told, this.#owner.kept)
    socket.on('message', bytes => this.#socket === socket && this.#reply(bytes))
    const now = performance.now()
    for (const payload of this.#early.take()) this.#forward(payload, now)
  }

  #forward(payload: Buffer, now: number): void {
    const socket = this.#socket!
    if (socket.getSendQueueSize() > mostQueued) {
      this.#drop('backlog', payload, 'more comes than leaves this host')
      return
    }
    const header = this.#sender!.wrap(payload, now)
    this.#sendOwn()
    if (typeof header === 'string' && header !== 'kept') {
      this.#drop(header, payload, whyUnsent[header])
      return
    }
    if (header !== 'kept') socket.send(header.length === 0 ? payload : [header, payload])
    this.received++
    this.receivedBytes += payload.length
    this.#last = payload.length > mostKept ? undefined : payload
  }

  /** Headers alone, and what has waited for the far end's word. */
  #sendOwn(): void {
    for (const datagram of this.#sender!.take()) this.#socket!.send(datagram)
  }

  #reply(bytes: Buffer): void {
    const now = performance.now()
    const payload = this.#sender!.reply(bytes, now)
    this.#last = undefined
    if (payload === 'answer') {
      this.#sendOwn()
      return
    }
    if (payload === 'reply-header') {
      this.#dropReply(payload, bytes, 'it has not the header of its flow')
      return
    }
    const target = this.#target!
    if (target.state !== 'up' && !target.isDead) target.succeeded()
    this.#owner.used(this, now)
    const header = this.#owner.replyHeader(payload, this)
    const { door } = this
    if (header.length + payload.length > door.payloadLimit)
      this.#dropReply('too-big', payload, `${door.payloadLimit} bytes leave in one piece`)
    else if (!door.send(header.length === 0 ? payload : [header, payload], this.client.sender))
      this.#dropReply('backlog', payload, 'more comes than leaves this host')
    else {
      this.sent++
      this.sentBytes += payload.length
    }
  }

  /** Nobody listens there, or nothing can be sent there. What was sent last goes to another target, if there is one. */
  #failed(error: Error): void {
    const target = this.#target!
    const { any: upstream } = this.#owner.upstreams
    const why = systemCode(error) ?? messageOf(error)
    upstream.failed(target, why)
    const other = upstream.hasAnother(target, this.#tried)
    const hasLeft = this.#sender === undefined
    if (other || hasLeft) {
      if (this.#last !== undefined) this.#early.add(this.#last)
      this.#last = undefined
      this.#leave()
      this.begin()
    } else {
      this.#drop('target-failed', this.#last, `${this.#portOf(target)}: ${why}`)
      // It may be there again any moment; whoever else failed, too.
      this.#tried = [target]
    }
  }

  #drop(reason: DropReason, payload: Buffer | undefined, detail: string): void {
    const { address, port } = this.client.sender
    this.#owner.dropped(reason, formatHostPort(address, port), payload?.length ?? 0, detail)
  }

  #dropReply(reason: DropReason, bytes: Buffer, detail: string): void {
    this.#owner.dropped(reason, this.#portOf(this.#target!), bytes.length, detail)
  }

  #leave(): void {
    const given = this.#sender?.end() ?? 0
    for (let i = 0; i < given; i++)
      this.#drop('no-flow', undefined, 'the other end never said that it knows the flow')
    this.#socket?.close()
    this.#socket = undefined
    this.#sender = undefined
    if (this.#target !== undefined) this.#target.open--
    this.#target = undefined
  }
}
