import { formatHostPort, type SocketAddress } from '../address.ts'
import type { UdpForwardConfig } from '../config/config.ts'
import type { UdpForwardStatus } from '../connection/status.ts'
import { DatagramCounters } from '../datagram/counters.ts'
import type { Door } from '../datagram/door.ts'
import type { Flow } from '../datagram/flow.ts'
import { bare } from '../datagram/form.ts'
import { type FlowLines, flowLines, tellDropped } from '../datagram/lines.ts'
import { type FlowSource, isSame, keyOf } from '../datagram/reading.ts'
import { FormReceiver } from '../datagram/receiver.ts'
import { FlowTable, type TableOwner } from '../datagram/table.ts'
import { answerDatagramTrace } from '../datagram/trace.ts'
import { isTrace } from '../proxy/trace-mark.ts'
import type { Share } from '../sockets/shares.ts'
import type { Try } from '../upstream/check.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import { Forward, type ForwardOptions } from './forward.ts'

/** Milliseconds between two looks for datagrams that have waited too long for a header. */
const giveUpEvery = 1000

/** A forward of datagrams. */
export class UdpForward extends Forward<UdpForwardConfig> implements TableOwner {
  readonly lines: FlowLines
  readonly datagrams = new DatagramCounters()
  readonly opened = new FlowTable(this)
  /** Streams alone cross a link. */
  readonly linkPort = undefined
  /** Where a header comes first: one for each door. */
  #receivers = new Map<Door, FormReceiver>()
  #timer: NodeJS.Timeout | undefined
  #isChanging = false

  constructor(config: UdpForwardConfig, options: ForwardOptions) {
    super(config, options)
    this.lines = flowLines(options.log, config.name)
  }

  override configure(config: UdpForwardConfig, tunnelAddresses: readonly string[]): void {
    // At a bound of flows one goes for the other: the table sees to it.
    const { allow, deny, newConnectionsPerSecond } = config.limits
    this.admission.configure({ allow, deny, newConnectionsPerSecond })
    const { acceptProxy, sendProxy, timeouts } = this.config
    if (config.acceptProxy !== acceptProxy) this.#receivers.clear()
    for (const receiver of this.#receivers.values()) receiver.proxyFirst = config.timeouts.proxyFirst
    if (
      config.acceptProxy !== acceptProxy ||
      config.sendProxy !== sendProxy ||
      config.timeouts.proxyFirst !== timeouts.proxyFirst
    )
      this.opened.replaceAll()
    super.configure(config, tunnelAddresses)
  }

  /** A datagram that has come to one of its listeners. Its memory is the forward's from now on. */
  receive(bytes: Buffer, sender: SocketAddress, door: Door, offset: number): void {
    const now = performance.now()
    if (this.config.acceptProxy !== false) this.#read(bytes, sender, door, offset, now)
    else {
      const key = `${door.text} ${sender.address} ${sender.port}`
      const flow =
        this.opened.use(key, door, now) ?? this.opened.begin(key, clientOf(sender, door), door, offset, now)
      flow?.take(bytes, now)
    }
  }

  /** One that begins with a header, or is of a sender who has told his client before. */
  #read(bytes: Buffer, sender: SocketAddress, door: Door, offset: number, now: number): void {
    if (!this.trusts(sender.address)) {
      this.#drop('untrusted-source', sender, bytes, `${sender.address} is not in trustedProxies`)
      return
    }
    const receiver = this.#receiverAt(door)
    const reading = receiver.read(bytes, sender, now)
    if (reading.kind === 'dropped') this.#drop(reading.reason, sender, bytes, reading.detail)
    else if (reading.kind === 'kept') door.send(reading.answer, sender)
    else if (isTrace(reading.source.tlvs)) this.#trace(reading.source, door, offset)
    else {
      const { source, payload, kept, answer, ended } = reading
      if (ended !== undefined) this.opened.replace(`${door.text} ${ended}`)
      const flow = this.#flowOf(source, door, offset, now)
      if (flow === undefined) {
        receiver.forget(source)
        return
      }
      for (const earlier of kept) flow.take(earlier, now)
      if (payload !== undefined) flow.take(payload, now)
      if (answer !== undefined) door.send(answer, sender)
    }
  }

  #flowOf(source: FlowSource, door: Door, offset: number, now: number): Flow | undefined {
    const key = `${door.text} ${source.key}`
    const flow = this.opened.use(key, door, now)
    if (flow !== undefined && isSame(flow.source.client, source.client)) {
      flow.source = source
      return flow
    }
    if (flow !== undefined) this.opened.replace(key)
    return this.opened.begin(key, source, door, offset, now)
  }

  #receiverAt(door: Door): FormReceiver {
    const { acceptProxy, timeouts } = this.config
    const receiver = this.#receivers.get(door) ?? new FormReceiver(acceptProxy, timeouts.proxyFirst)
    this.#receivers.set(door, receiver)
    this.#timer ??= setInterval(() => this.#giveUp(), giveUpEvery).unref()
    return receiver
  }

  #trace({ client, destination = client, tlvs, sender }: FlowSource, door: Door, offset: number): void {
    const { name, sendProxy } = this.config
    const [target] = this.upstreams.targets
    const answer = answerDatagramTrace({
      ...{ end: this.tracing.end(), forward: name, sender, client, destination, tlvs, sendProxy },
      target:
        target === undefined ? this.upstreams.any.text : formatHostPort(target.address, target.port + offset),
    })
    door.send(answer, sender)
  }

  #drop(reason: DropReason, { address, port }: SocketAddress, { length }: Buffer, detail: string): void {
    const { datagrams: counters, lines } = this
    tellDropped({ counters, lines }, reason, formatHostPort(address, port), length, detail)
  }

  // What its flows ask and tell.

  isPeer(address: string): boolean {
    return this.peers.has(address)
  }

  peerOf(address: string): Share | undefined {
    return this.#isOnTunnel ? this.peers.of(address) : undefined
  }

  shutFor(address: string): string | undefined {
    return this.#isOnTunnel ? this.ways.heard(address) : undefined
  }

  wrapReply(reply: Buffer, source: FlowSource, door: Door): Buffer | 'too-big' {
    if (this.config.acceptProxy !== false)
      return this.#receiverAt(door).wrapReply(reply, source, door.payloadLimit)
    return reply.length > door.payloadLimit ? 'too-big' : bare
  }

  began(address: string): void {
    this.seen?.(address, this.#isOnTunnel)
  }

  ended({ source, door }: Flow): void {
    this.#receivers.get(door)?.forget(source)
  }

  get #isOnTunnel(): boolean {
    return this.config.listen.host === 'tunnel'
  }

  /** Clients and targets that have gone are no matter: an idle flow ends. */
  look(): void {}

  /** Gives up what has waited for a header for too long. */
  #giveUp(): void {
    let count = 0
    for (const [door, receiver] of this.#receivers) {
      count += receiver.expire(performance.now())
      if (!door.isOpen) this.#receivers.delete(door)
    }
    this.datagrams.dropped['no-flow'] += count
    if (count > 0)
      this.lines.dropped.warn('no-flow', { reason: 'no-flow', count, detail: 'no header came in time' })
  }

  async drain(signal: AbortSignal): Promise<void> {
    await this.opened.drain(signal)
    clearInterval(this.#timer)
    this.upstreams.close()
    for (const lines of Object.values(this.lines)) lines.flush()
  }

  status(): UdpForwardStatus {
    const { acceptProxy, sendProxy } = this.config
    const open = this.opened.status()
    let { received, sent } = this.datagrams
    for (const { datagrams } of open) {
      received += datagrams?.received ?? 0
      sent += datagrams?.sent ?? 0
    }
    const { evicted, dropped } = this.datagrams
    const datagrams = { received, sent, evicted, dropped: { ...dropped } }
    return { protocol: 'udp', ...this.commonStatus(open), acceptProxy, sendProxy, datagrams }
  }

  /** Never: there is no datagram that is harmless to every receiver. */
  protected knock(): Try {
    return { cancel() {} }
  }

  /** Once for all that changes in one turn. */
  protected override changed(): void {
    if (this.#isChanging) return
    this.#isChanging = true
    setImmediate(() => {
      this.#isChanging = false
      this.opened.retarget()
    })
  }
}

/** A client that tells itself. */
function clientOf(sender: SocketAddress, door: Door): FlowSource {
  return { key: keyOf(sender), sender, client: sender, destination: door.local, tlvs: [], replyHeader: bare }
}
