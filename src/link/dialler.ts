import { connect, type Socket } from 'node:net'
import { formatHostPort } from '../address.ts'
import { messageOf, systemCode } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { dialOptions } from '../sockets/reader.ts'
import { reset } from '../sockets/reset.ts'
import type { Ways } from '../ways.ts'
import { LinkError } from './frame.ts'
import {
  decodeGreeting,
  defaults,
  encodeGreeting,
  type Greeting,
  greetingKind,
  greetingLength,
  noToken,
  readFirst,
} from './greeting.ts'
import type { PingWitness } from './pulse.ts'
import { Session } from './session.ts'
import { WarmLanes } from './warm-lanes.ts'

/** Milliseconds for a connection and its greeting. */
const dialTimeout = 5000
/** Milliseconds before the second attempt, for an end that is just starting; the pause doubles with each that fails. */
const firstPause = 1000
/** Its bound in milliseconds: with an end that never had a link, and with one that had. */
const longestPause = { stranger: 600_000, friend: 60_000 }
/** Milliseconds from one link to the next after which pauses are short again: not for an end that greets and goes. */
const calm = 60_000

export interface DiallerOptions {
  /** Stands for the peer that has the address. */
  readonly peer: object
  readonly log: Log
  readonly witness?: PingWitness | undefined
  /** Lanes that are dialled ahead. */
  readonly lanes: number
  /** A link is up. */
  readonly up: () => void
  readonly descriptors: Descriptors
  readonly ways: Ways
  readonly target: (port: number, isUp: boolean) => void
  /** The far end takes no more streams. */
  readonly draining: () => void
}

/**
 * Keeps a link up to one address, in the background: nobody ever waits for it. An end that has no links, HAProxy for
 * example, is asked again now and then.
 */
export class Dialler {
  readonly address: string
  readonly #port: number
  readonly #options: DiallerOptions
  /** The one for new streams first, and earlier ones whose streams have not ended. */
  #sessions: Session[] = []
  /** Of the first. */
  #lanes: WarmLanes | undefined
  #dialling: Socket | undefined
  #timer: NodeJS.Timeout | undefined
  #pause = 0
  /** When it last dialled, and when the last link came up; on performance.now()'s clock. */
  #dialledAt = 0
  #upAt = Number.NEGATIVE_INFINITY
  #wasUp = false
  #isClosed = false
  #saidWhy = ''

  constructor(address: string, port: number, options: DiallerOptions) {
    this.address = address
    this.#port = port
    this.#options = options
    this.#dial()
  }

  /** A link that takes new streams now. */
  get session(): Session | undefined {
    const session = this.#sessions[0]
    return session?.isReady ? session : undefined
  }

  get sessions(): readonly Session[] {
    return this.#sessions
  }

  /** The path has come back: what failed may succeed now. Called often, it dials once a second. */
  retry(): void {
    if (this.#isClosed || this.session !== undefined || this.#dialling !== undefined) return
    this.#pause = 0
    this.#dialIn(this.#dialledAt + firstPause - performance.now())
  }

  /** Dials no more. Links end with their last stream. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#dialling?.destroy()
    this.#lanes?.close()
    for (const session of this.#sessions) session.retire()
  }

  /** What is sent there leaves outside of the tunnel: nothing goes on. */
  cut(): void {
    this.#dialling?.destroy()
    this.#lanes?.close()
  }

  #dialIn(ms: number): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (ms > 0) this.#timer = setTimeout(() => this.#dial(), ms).unref()
    else this.#dial()
  }

  #dial(): void {
    this.#dialledAt = performance.now()
    const shut = this.#options.ways.shut(this.address)
    if (shut !== undefined) {
      this.#noLink(shut)
      return
    }
    const socket = this.#connect({ kind: greetingKind.link, token: noToken })
    this.#dialling = socket
    this.#greet(socket).then(
      far => this.#up(socket, far),
      (error: unknown) => this.#failed(socket, error),
    )
  }

  #connect(greeting: Pick<Greeting, 'kind' | 'token'>): Socket {
    const { descriptors, ways } = this.#options
    const socket = connect({ ...dialOptions, host: this.address, port: this.#port })
    descriptors.hold(socket)
    socket.pause()
    socket.once('connect', () => {
      const astray = ways.astray(this.address, socket)
      if (astray === undefined) socket.write(encodeGreeting({ ...defaults, ...greeting }))
      else socket.destroy(new LinkError(astray))
    })
    return socket
  }

  async #greet(socket: Socket): Promise<Greeting> {
    const far = decodeGreeting(await readFirst(socket, greetingLength, dialTimeout))
    if (far.kind !== greetingKind.link)
      throw new LinkError(`it speaks version ${far.version} of the link, this end ${defaults.version}`)
    return far
  }

  #up(socket: Socket, far: Greeting): void {
    this.#dialling = undefined
    if (this.#isClosed) {
      reset(socket)
      return
    }
    const { peer, log, witness, lanes, descriptors, target, up } = this.#options
    const session = new Session(socket, {
      peer,
      far,
      own: { ...defaults, kind: greetingKind.link, token: noToken },
      witness,
      // Those at hand are of the latest link.
      lane: session => (session === this.#sessions[0] ? this.#lanes?.take() : undefined),
      target,
      draining: () => {
        session.retire()
        this.#later()
        this.#options.draining()
      },
      closed: (session, why) => this.#lost(session, why),
    })
    for (const earlier of this.#sessions) earlier.retire()
    this.#sessions.unshift(session)
    this.#wasUp = true
    const now = performance.now()
    if (now - this.#upAt >= calm) this.#pause = 0
    this.#upAt = now
    this.#saidWhy = ''
    log.info({ address: formatHostPort(this.address, this.#port) }, 'link up')
    // Lanes are the link's that they were dialled for.
    this.#lanes?.close()
    const dialLane = () => this.#connect({ kind: greetingKind.lane, token: far.token })
    this.#lanes = new WarmLanes(lanes, descriptors, dialLane)
    up()
  }

  #failed(socket: Socket, error: unknown): void {
    reset(socket)
    this.#dialling = undefined
    if (!this.#isClosed) this.#noLink(systemCode(error) ?? messageOf(error))
  }

  #noLink(why: string): void {
    const address = formatHostPort(this.address, this.#port)
    // Said once: an end without links is asked for as long as this one runs.
    if (why !== this.#saidWhy)
      this.#options.log.info({ address, why }, 'no link; connections cross one by one')
    this.#saidWhy = why
    this.#later()
  }

  #lost(session: Session, why: string): void {
    const wasFirst = this.#sessions[0] === session
    this.#sessions = this.#sessions.filter(other => other !== session)
    this.#options.log.info({ address: formatHostPort(this.address, this.#port), why }, 'link down')
    if (!wasFirst || this.#isClosed) return
    this.#lanes?.close()
    if (this.#dialling === undefined) this.#later()
  }

  #later(): void {
    const longest = this.#wasUp ? longestPause.friend : longestPause.stranger
    this.#pause = Math.min(Math.max(this.#pause * 2, firstPause), longest)
    this.#dialIn(this.#pause)
  }
}
