import type { Socket } from 'node:dgram'
import type { SocketAddress } from '../address.ts'
import { messageOf, systemCode } from '../errors.ts'
import { connectDatagrams, mostQueued } from '../sockets/datagram.ts'
import { payloadLimit } from '../sockets/mtu.ts'
import type { RestingPorts } from '../sockets/resting-ports.ts'
import type { DropReason } from '../upstream/drop-reason.ts'
import type { FarEnd } from './far-end.ts'
import { type FlowTarget, FormSender, whyUnsent } from './sender.ts'

/** Milliseconds for which a reply to a flow that has ended may still come. */
const lateFor = 2000
/** Errors of a send that say nothing of the target. */
const ofOne: Readonly<Record<string, DropReason>> = {
  EMSGSIZE: 'too-big',
  EAGAIN: 'backlog',
  ENOBUFS: 'backlog',
}

/** The flow. */
export interface OutletOwner {
  /** The target has sent this to the client. */
  replied(payload: Buffer): void
  /** What the client has sent goes no further. */
  unsent(reason: DropReason, bytes: number, detail: string): void
  /** A reply goes no further. */
  dropped(reason: DropReason, bytes: number, detail: string): void
  /** Nobody listens there, or nothing can be sent there. */
  failed(error: Error): void
}

/** A flow's way to one target: a socket that nobody else has, and the form in which the target is told the client. */
export class Outlet {
  readonly #owner: OutletOwner
  readonly #socket: Socket
  /** Where it sends from; `undefined` where it could not connect, of which `failed` is told. */
  readonly source: SocketAddress | undefined
  readonly #resting: RestingPorts
  /** Milliseconds for which nobody else may have its port: a receiver of v2-first knows it for so long as this client's. */
  #restFor = lateFor
  #sender: FormSender | undefined
  #isClosed = false
  /** Node tells what becomes of a send at once, ECONNREFUSED above all, to a callback or to nobody. */
  readonly #onSent = (error: Error | null) => {
    if (error !== null && !this.#isClosed) this.#failed(error)
  }

  /** @param resting source ports of flows before, among which its own comes in the end */
  constructor({ address, port }: SocketAddress, owner: OutletOwner, resting: RestingPorts) {
    this.#owner = owner
    this.#resting = resting
    const { socket, source } = connectDatagrams(address, port, this.#onSent, resting)
    this.#socket = socket
    this.source = source
  }

  /** From now on it sends. @param far what flows to the target know together of it. */
  open(target: Omit<FlowTarget, 'mtuPayload'>, far: FarEnd<FormSender>): void {
    if (target.form === 'v2-first') this.#restFor = Math.max(lateFor, target.proxyFirst)
    this.#sender = new FormSender({ ...target, mtuPayload: payloadLimit(this.source?.address ?? '') }, far)
    this.#socket.on('message', bytes => this.#reply(bytes, this.#sender!))
  }

  /** Whether it was sent, or will be. */
  send(payload: Buffer, now: number): boolean {
    if (this.#socket.getSendQueueSize() > mostQueued)
      return this.#unsent('backlog', payload, 'more comes than leaves this host')
    const sender = this.#sender!
    const header = sender.wrap(payload, now)
    this.#sendOwn(sender)
    if (header === 'kept') return true
    if (typeof header === 'string') return this.#unsent(header, payload, whyUnsent[header])
    this.#socket.send(header.length === 0 ? payload : [header, payload], this.#onSent)
    return true
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.source !== undefined) this.#resting.add(this.source.port, performance.now() + this.#restFor)
    this.#socket.close()
    const given = this.#sender?.end() ?? 0
    for (let i = 0; i < given; i++)
      this.#owner.unsent('no-flow', 0, 'the other end never said that it knows the flow')
  }

  /** Headers alone, and what has waited for the far end's word. */
  #sendOwn(sender: FormSender): void {
    for (const datagram of sender.take()) this.#socket.send(datagram, this.#onSent)
  }

  #reply(bytes: Buffer, sender: FormSender): void {
    const payload = sender.reply(bytes, performance.now())
    if (payload === 'answer') this.#sendOwn(sender)
    else if (payload === 'reply-header')
      this.#owner.dropped(payload, bytes.length, 'it has not the header of its flow')
    else this.#owner.replied(payload)
  }

  #failed(error: Error): void {
    const reason = ofOne[systemCode(error) ?? '']
    this.#sender?.unsent()
    if (reason === undefined) this.#owner.failed(error)
    else this.#owner.unsent(reason, 0, messageOf(error))
  }

  #unsent(reason: DropReason, { length }: Buffer, detail: string): false {
    this.#owner.unsent(reason, length, detail)
    return false
  }
}
