import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { unmap } from '../address.ts'
import { messageOf } from '../errors.ts'
import { LineLimit } from '../log/line-limit.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { reset } from '../sockets/reset.ts'
import type { Share } from '../sockets/shares.ts'
import { LinkError } from './frame.ts'
import {
  decodeGreeting,
  defaults,
  encodeGreeting,
  type Greeting,
  greetingKind,
  greetingLength,
  linkVersion,
  readFirst,
} from './greeting.ts'
import { Lanes } from './lanes.ts'
import { type AcceptedLink, PeerLimit, PeerLinks } from './peer-links.ts'
import type { PingWitness } from './pulse.ts'
import { Session } from './session.ts'
import type { Stream } from './stream.ts'

/** Milliseconds for a greeting. */
const greetingTimeout = 5000

/** A stream that the other end opened. */
export interface Arrival {
  readonly stream: Stream
  readonly session: Session
  /** Whose it is. */
  readonly peer: Share
  /** As if the connection had come from `remoteAddress` to `localAddress` and `port`, with `header` in front. */
  readonly localAddress: string
  readonly remoteAddress: string
  readonly port: number
  readonly header: Buffer
}

export interface AcceptorOptions {
  readonly log: Log
  readonly witness?: PingWitness | undefined
  readonly descriptors: Descriptors
  /** The peer that has this address. */
  readonly peerOf: (address: string) => Share
  readonly arrived: (arrival: Arrival) => void
  readonly accepted: (session: Session) => void
}

/** The links that other ends have dialled, and their lanes. */
export class Acceptor {
  readonly #options: AcceptorOptions
  /** By token, in hex. */
  readonly #links = new Map<string, AcceptedLink>()
  readonly #peers = new WeakMap<Share, PeerLinks>()
  readonly #refused: LineLimit
  #isDraining = false

  constructor(options: AcceptorOptions) {
    this.#options = options
    this.#refused = new LineLimit(options.log, 'link refused')
  }

  get isIdle(): boolean {
    return this.#links.size === 0
  }

  get sessions(): Session[] {
    return Array.from(this.#links.values(), ({ session }) => session)
  }

  /** A connection to the link's port, from an address that is trusted. */
  accept(socket: Socket): void {
    const address = unmap(socket.remoteAddress ?? '')
    const share = this.#options.peerOf(address)
    const peer = this.#peers.get(share) ?? new PeerLinks(share)
    this.#peers.set(share, peer)
    this.#greet(socket, peer).catch(error => {
      reset(socket)
      const { log } = this.#options
      const why = messageOf(error)
      if (error instanceof PeerLimit) this.#refused.warn('peer-limit', { address, peer: share.name, why })
      else if (error instanceof LinkError) log.debug({ address, why }, 'link refused')
      else log.error({ error: why }, 'link failed')
    })
  }

  /** Takes no more links. */
  drain(): void {
    this.#isDraining = true
    this.retire()
  }

  /** Tells every far end to open no more streams; each link ends with its last one. */
  retire(): void {
    for (const { session } of this.#links.values()) session.goaway()
  }

  async #greet(socket: Socket, peer: PeerLinks): Promise<void> {
    const { descriptors } = this.#options
    peer.roomToGreet()
    if (descriptors.isLinkReserveUsed) throw new PeerLimit('no descriptors are left')
    descriptors.hold(socket, peer.share)
    const far = await this.#greeting(socket, peer)
    if (far.version === linkVersion && far.kind === greetingKind.link) this.#link(socket, far, peer)
    else if (far.version === linkVersion && far.kind === greetingKind.lane) await this.#lane(socket, far)
    else {
      const own = { ...defaults, kind: greetingKind.refused, token: far.token }
      socket.end(encodeGreeting(own), () => socket.destroy())
    }
  }

  async #greeting(socket: Socket, peer: PeerLinks): Promise<Greeting> {
    peer.greeting++
    try {
      return decodeGreeting(await readFirst(socket, greetingLength, greetingTimeout))
    } finally {
      peer.greeting--
    }
  }

  #link(socket: Socket, far: Greeting, peer: PeerLinks): void {
    if (this.#isDraining) throw new LinkError('draining')
    peer.roomForLink()
    const own = { ...defaults, kind: greetingKind.link, token: randomBytes(16) }
    const name = own.token.toString('hex')
    const { share } = peer
    socket.write(encodeGreeting(own))
    const session = new Session(socket, {
      peer: share,
      far,
      own,
      witness: this.#options.witness,
      opened: (stream, port, header, session) => {
        const { localAddress, remoteAddress } = session
        this.#options.arrived({ stream, session, peer: share, port, header, localAddress, remoteAddress })
        this.#lend(link, stream.id, link.lanes.take(stream.id))
      },
      closed: (session, why) => {
        this.#links.delete(name)
        peer.links.delete(link)
        link.lanes.close()
        this.#options.log.info({ address: session.remoteAddress, why }, 'link down')
      },
    })
    const link: AcceptedLink = { session, lanes: new Lanes(), peer }
    this.#links.set(name, link)
    peer.links.add(link)
    this.#options.log.info({ address: session.remoteAddress }, 'link up')
    this.#options.accepted(session)
  }

  async #lane(socket: Socket, { token }: Greeting): Promise<void> {
    const link = this.#links.get(token.toString('hex'))
    if (link === undefined || socket.remoteAddress !== link.session.remoteAddress)
      throw new LinkError('a lane of no link')
    const { session, lanes, peer } = link
    peer.roomForLane()
    const shortage = this.#options.descriptors.shortage(0, undefined, peer.share)
    if (shortage !== undefined) throw new PeerLimit(shortage)
    const id = await lanes.idOf(socket)
    if (session.isAhead(id)) lanes.keep(id, socket)
    else this.#lend(link, id, socket)
  }

  /** A stream goes on on its lane. */
  #lend({ session }: AcceptedLink, id: number, lane: Socket | undefined): void {
    if (lane === undefined) return
    const stream = session.stream(id)
    if (stream === undefined || stream.isPromoted) reset(lane)
    else session.lend(stream, lane)
  }
}
