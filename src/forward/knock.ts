import { connect, type Socket } from 'node:net'
import type { ForwardConfig } from '../config/config.ts'
import type { Descriptors } from '../descriptors.ts'
import { messageOf, systemCode } from '../errors.ts'
import { frame } from '../link/frame.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import type { Stream } from '../link/stream.ts'
import type { StreamEnd, StreamOwner } from '../link/stream-owner.ts'
import { dialOptions, type ReadSocket } from '../reader.ts'
import type { Ways } from '../ways.ts'
import { encodeProxyV1, encodeProxyV2 } from './proxy-header.ts'
import type { Target } from './target.ts'

/** How a target is tried. */
export interface KnockOptions {
  readonly config: Pick<ForwardConfig, 'sendProxy' | 'timeouts'>
  readonly descriptors: Descriptors
  readonly ways: Ways
  /** Over this link, where there is one. */
  readonly session: Session | undefined
  /** Called once, later: why it failed, or nothing. */
  readonly told: (error: string | undefined) => void
}

/** Milliseconds after which who takes a connection and says nothing is taken to be well. */
const quiet = 1000

/**
 * Tries a target without a client: connects, says that this is a check (PROXY LOCAL or UNKNOWN) where headers are sent,
 * and ends. An end like this one answers by closing, once it has reached its own target, or with a reset: it has not, or
 * drains. Over a link it is a stream that does the same, and is answered at once.
 */
export class Knock implements StreamOwner {
  readonly #told: KnockOptions['told']
  #timer: NodeJS.Timeout
  #socket: Socket | undefined
  #stream: Stream | undefined
  #isTold = false

  constructor(target: Target, options: KnockOptions) {
    const { config, session, told } = options
    const timeout = config.timeouts.connect
    this.#told = told
    // A stream that is answered and does not end after that is cut as well.
    this.#timer = setTimeout(() => this.#end(`no answer within ${timeout} ms`), timeout).unref()
    if (session === undefined) this.#dial(target, options)
    else this.#open(target, session)
  }

  /** Nobody is told any more. */
  cancel(): void {
    this.#isTold = true
    this.#end('cancelled')
  }

  answered(): void {
    this.#tell(undefined)
  }

  /** The far end has closed, too. */
  halfClosed(): void {
    this.#end('closed')
  }

  streamEnded(end: StreamEnd, why: Reset | undefined): void {
    clearTimeout(this.#timer)
    this.#tell(end === 'far-reset' ? `by the other end: ${why?.detail}` : (why?.detail ?? end))
  }

  #dial({ address, port }: Target, { config, descriptors, ways }: KnockOptions): void {
    const shut = ways.shut(address)
    if (shut !== undefined) {
      setImmediate(() => this.#end(shut))
      return
    }
    const socket: ReadSocket = connect({ ...dialOptions, host: address, port })
    this.#socket = socket
    descriptors.hold(socket)
    const good = () => this.#end(undefined)
    socket.sink = {
      read() {
        good()
        return false
      },
      isHeld: () => false,
    }
    socket.on('error', error => this.#end(systemCode(error) ?? messageOf(error)))
    socket.on('end', good)
    socket.once('connect', () => {
      const astray = ways.astray(address, socket)
      if (astray !== undefined) {
        this.#end(astray)
        return
      }
      if (config.sendProxy === false) {
        good()
        return
      }
      socket.resume().end(checkHeader(config.sendProxy))
      clearTimeout(this.#timer)
      this.#timer = setTimeout(good, quiet).unref()
    })
  }

  #open({ port }: Target, session: Session): void {
    const stream = session.open(port, checkHeader('v2'))
    this.#stream = stream
    stream.owner = this
    session.send(stream.id, frame.end)
  }

  #end(why: string | undefined): void {
    clearTimeout(this.#timer)
    this.#tell(why)
    this.#socket?.destroy()
    this.#stream?.abort({ reason: 'reset', detail: why ?? '' })
  }

  #tell(error: string | undefined): void {
    if (this.#isTold) return
    this.#isTold = true
    this.#told(error)
  }
}

/** What says that nobody is behind this connection. */
function checkHeader(sendProxy: ForwardConfig['sendProxy']): Buffer {
  if (sendProxy === false) return Buffer.alloc(0)
  return sendProxy === 'v1'
    ? encodeProxyV1(undefined, undefined)
    : encodeProxyV2(undefined, undefined, []).bytes
}
