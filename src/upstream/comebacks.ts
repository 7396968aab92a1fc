import type { Socket } from 'node:net'
import { type SocketAddress, unmap } from '../address.ts'
import { ProxyHeaderError, parseProxyHeader, uniqueIdOf } from '../proxy/proxy-header.ts'
import { loopMark } from './loop-mark.ts'
import type { Target } from './target.ts'

/** A connection of a forward, or a check: what it sends out may come back. */
export interface Leg {
  readonly forward: object
  /** What it came of, where that is another one of this end. */
  readonly cause: Leg | undefined
  /** What it has sent out has come back to its own forward, and was refused there. */
  cameBack?(why: string): void
  /**
   * Whether this neighbour gave its id, and so may tell it once more: what goes round comes in from elsewhere the second
   * time, where it came in first. A leg that the neighbour has lost sight of ends.
   */
  yields?(neighbour: string): boolean
}

/** How a header tells a client. */
export interface Told {
  readonly id: string | undefined
  readonly source: SocketAddress
  readonly destination: SocketAddress
}

/** A socket that this end has dialled, with its own address and the far one; flat, because each open connection has one. */
interface Sent {
  readonly leg: Leg
  readonly sourceAddress: string
  readonly sourcePort: number
  readonly address: string
  readonly port: number
  /** Another one with this port, which leads elsewhere. */
  next: Sent | undefined
}

interface SentSocket extends Socket {
  sent?: Sent
  comebacks?: Comebacks
}

/** Milliseconds in which the addresses of a client cannot be those of another connection of it. */
const fresh = 10_000

/** Milliseconds that a neighbour is suspected, and how many are. */
const suspected = 10_000
const mostSuspects = 1000

/**
 * Recognises connections that this end has sent out and that come back to it, whatever they went through: by both addresses
 * of the socket that it dialled, by the UNIQUE_ID that it gave, or passed on and gets from another neighbour, and where it
 * sent none by the addresses of a client that came without a header. What it knows is of connections that are open now, so it is bounded as they are.
 */
export class Comebacks {
  /** Neighbours, and until when; the latest is the last. */
  readonly #suspects = new Map<string, number>()
  readonly #byPort = new Map<number, Sent>()
  readonly #byId = new Map<string, Leg>()
  readonly #byAddresses = new Map<string, { readonly leg: Leg; readonly at: number }>()

  /** A socket of this leg connects. */
  dialled(socket: Socket, { address }: Target, port: number, leg: Leg): void {
    // Node calls connect(2) in a tick of its own, ahead of this one; the far end may accept before `connect` is emitted.
    process.nextTick(Comebacks.#enter, this, socket, { address, port }, leg)
  }

  /** The leg whose socket has its far end here. */
  at({ source, destination }: Pick<Told, 'source' | 'destination'>): Leg | undefined {
    let sent = this.#byPort.get(source.port)
    while (sent !== undefined && !isBetween(sent, source, destination)) sent = sent.next
    return sent?.leg
  }

  /** The leg that this one came of, now that a header has told its client; from now on it is told like this itself. */
  known(leg: Leg, client: Told & { readonly neighbour: string }): Leg | undefined {
    const earlier = this.#told(client)
    if (client.id !== undefined) this.tell(leg, client)
    const cause = this.at(client)
    if (cause !== undefined) return cause
    return earlier?.forward === leg.forward && earlier.yields?.(client.neighbour) ? earlier.cause : earlier
  }

  /**
   * The leg whose header these first bytes of a client are: what a listener without PROXY headers takes for payload.
   * `part`: they may be the beginning of one.
   */
  begunBy(bytes: Buffer): Leg | 'part' | undefined {
    // `\r` of the signature, `P` of `PROXY`.
    if (bytes[0] !== 13 && bytes[0] !== 80) return undefined
    try {
      const header = parseProxyHeader(bytes, 'any')
      if (header === undefined) return 'part'
      const { source, destination, tlvs } = header
      if (source === undefined || destination === undefined) return undefined
      return this.#told({ id: uniqueIdOf(tlvs)?.toString('hex'), source, destination })
    } catch (error) {
      if (error instanceof ProxyHeaderError) return undefined
      throw error
    }
  }

  /**
   * A connection that its first bytes gave away came from this neighbour. Until they come one like it has sent out the next
   * one already, which would outlive it: for a while each that comes from there is heard first.
   */
  cameFrom(neighbour: string): void {
    this.#suspects.delete(neighbour)
    this.#suspects.set(neighbour, performance.now() + suspected)
    if (this.#suspects.size > mostSuspects) this.#suspects.delete(this.#suspects.keys().next().value!)
  }

  mayComeFrom(neighbour: string): boolean {
    return this.#suspects.size > 0 && (this.#suspects.get(neighbour) ?? 0) > performance.now()
  }

  /** What the leg sends out tells its client like this. */
  tell(leg: Leg, client: Told): void {
    if (client.id !== undefined) this.#byId.set(client.id, leg)
    else this.#byAddresses.set(addressesOf(client), { leg, at: performance.now() })
  }

  /** It has ended. */
  forget(leg: Leg, client: Told): void {
    if (client.id !== undefined && this.#byId.get(client.id) === leg) this.#byId.delete(client.id)
    if (this.#byAddresses.size === 0) return
    const addresses = addressesOf(client)
    if (this.#byAddresses.get(addresses)?.leg === leg) this.#byAddresses.delete(addresses)
  }

  /** Of what it knows: ports of sockets, ids and addresses. */
  get size(): number {
    return this.#byPort.size + this.#byId.size + this.#byAddresses.size
  }

  #told(client: Told): Leg | undefined {
    if (client.id !== undefined) return this.#byId.get(client.id)
    const known = this.#byAddresses.get(addressesOf(client))
    return known !== undefined && performance.now() - known.at < fresh ? known.leg : undefined
  }

  static #enter(comebacks: Comebacks, socket: SentSocket, { address, port }: SocketAddress, leg: Leg): void {
    const { localPort: sourcePort, localAddress } = socket
    if (sourcePort === undefined || localAddress === undefined || socket.destroyed) return
    const sourceAddress = unmap(localAddress)
    const sent = { leg, sourceAddress, sourcePort, address, port, next: comebacks.#byPort.get(sourcePort) }
    comebacks.#byPort.set(sourcePort, sent)
    socket.sent = sent
    socket.comebacks = comebacks
    socket.on('close', Comebacks.#onClose)
  }

  static #onClose(this: SentSocket): void {
    this.comebacks!.#leave(this.sent!)
  }

  #leave(sent: Sent): void {
    const { sourcePort, next } = sent
    const first = this.#byPort.get(sourcePort)
    if (first !== sent) {
      for (let other = first; other !== undefined; other = other.next)
        if (other.next === sent) other.next = next
    } else if (next === undefined) this.#byPort.delete(sourcePort)
    else this.#byPort.set(sourcePort, next)
  }
}

function isBetween(sent: Sent, source: SocketAddress, destination: SocketAddress): boolean {
  const { sourceAddress, sourcePort, address, port } = sent
  const isFromThere = sourcePort === source.port && sourceAddress === source.address
  return isFromThere && port === destination.port && address === destination.address
}

function addressesOf({ source, destination }: Told): string {
  return `${source.address} ${source.port} ${destination.address} ${destination.port}`
}

/** Why a leg must not go on: one of those that it came of is of its own forward. What began it is told. */
export function loopOf({ forward, cause }: Leg): string | undefined {
  let leg = cause
  while (leg !== undefined && leg.forward !== forward) leg = leg.cause
  if (leg === undefined) return undefined
  const why = `${loopMark}this end has sent it out, and it has come back: a target of the forward leads here again`
  leg.cameBack?.(why)
  return why
}
