import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Descriptors } from '../descriptors.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { reset } from '../reset.ts'
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
import type { PingWitness } from './pulse.ts'
import { Session } from './session.ts'
import type { Stream } from './stream.ts'

/** Milliseconds for a greeting. */
const greetingTimeout = 5000
/** Lanes of one link that wait for a stream; the far end dials eight ahead. */
const mostLanes = 64

/** The lanes of one link. */
interface Lanes {
  /** They do not know yet for which stream. */
  readonly idle: Set<Socket>
  /** They know, and it has not been opened: a lane is idle and the link may be busy, so that it is overtaken. */
  readonly early: Map<number, Socket>
}

/** A stream that the other end opened. */
export interface Arrival {
  readonly stream: Stream
  readonly session: Session
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
  readonly arrived: (arrival: Arrival) => void
  readonly accepted: (session: Session) => void
}

/** The links that other ends have dialled, and their lanes. */
export class Acceptor {
  readonly #options: AcceptorOptions
  /** By token, in hex. */
  readonly #sessions = new Map<string, Session>()
  readonly #lanes = new Map<Session, Lanes>()
  #isDraining = false

  constructor(options: AcceptorOptions) {
    this.#options = options
  }

  get isIdle(): boolean {
    return this.#sessions.size === 0
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values()
  }

  /** A connection to the link's port, from an address that is trusted. */
  accept(socket: Socket): void {
    const { descriptors } = this.#options
    if (descriptors.isLinkReserveUsed) {
      socket.on('error', () => {})
      reset(socket)
      return
    }
    descriptors.hold(socket)
    this.#greet(socket).catch(error => {
      reset(socket)
      if (error instanceof LinkError)
        this.#options.log.debug({ address: socket.remoteAddress, why: error.message }, 'link refused')
      else this.#options.log.error({ error: messageOf(error) }, 'link failed')
    })
  }

  /** Takes no more links. */
  drain(): void {
    this.#isDraining = true
    this.retire()
  }

  /** Tells every far end to open no more streams; each link ends with its last one. */
  retire(): void {
    for (const session of this.#sessions.values()) session.goaway()
  }

  async #greet(socket: Socket): Promise<void> {
    const far = decodeGreeting(await readFirst(socket, greetingLength, greetingTimeout))
    if (far.version === linkVersion && far.kind === greetingKind.link) this.#link(socket, far)
    else if (far.version === linkVersion && far.kind === greetingKind.lane) await this.#lane(socket, far)
    else {
      const own = { ...defaults, kind: greetingKind.refused, token: far.token }
      socket.end(encodeGreeting(own), () => socket.destroy())
    }
  }

  #link(socket: Socket, far: Greeting): void {
    if (this.#isDraining) throw new LinkError('draining')
    const own = { ...defaults, kind: greetingKind.link, token: randomBytes(16) }
    const name = own.token.toString('hex')
    socket.write(encodeGreeting(own))
    const session = new Session(socket, {
      far,
      own,
      witness: this.#options.witness,
      opened: (stream, port, header, session) => {
        const { localAddress, remoteAddress } = session
        this.#options.arrived({ stream, session, port, header, localAddress, remoteAddress })
        this.#lendEarly(session, stream.id)
      },
      closed: (session, why) => {
        this.#sessions.delete(name)
        const { idle, early } = this.#lanes.get(session)!
        for (const lane of [...idle, ...early.values()]) reset(lane)
        this.#lanes.delete(session)
        this.#options.log.info({ address: session.remoteAddress, why }, 'link down')
      },
    })
    this.#sessions.set(name, session)
    this.#lanes.set(session, { idle: new Set(), early: new Map() })
    this.#options.log.info({ address: session.remoteAddress }, 'link up')
    this.#options.accepted(session)
  }

  async #lane(socket: Socket, { token }: Greeting): Promise<void> {
    const session = this.#sessions.get(token.toString('hex'))
    const lanes = session && this.#lanes.get(session)
    if (session === undefined || lanes === undefined || socket.remoteAddress !== session.remoteAddress)
      throw new LinkError('a lane of no link')
    const { idle, early } = lanes
    if (idle.size + early.size >= mostLanes) throw new LinkError(`more than ${mostLanes} lanes wait`)
    if (this.#options.descriptors.free < 0) throw new LinkError('no descriptors for a lane')
    idle.add(socket)
    let bytes: Buffer
    try {
      bytes = await readFirst(socket, 4, 0)
    } finally {
      idle.delete(socket)
    }
    const id = bytes.readUInt32BE()
    early.set(id, socket)
    if (!session.isAhead(id)) this.#lendEarly(session, id)
  }

  /** A lane and its stream are both there. */
  #lendEarly(session: Session, id: number): void {
    const lane = this.#lanes.get(session)?.early.get(id)
    if (lane === undefined) return
    this.#lanes.get(session)?.early.delete(id)
    const stream = session.stream(id)
    if (stream === undefined || stream.isPromoted) reset(lane)
    else session.lend(stream, lane)
  }
}
