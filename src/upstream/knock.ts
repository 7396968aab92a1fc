import { connect, type Socket } from 'node:net'
import type { TcpForwardConfig } from '../config/config.ts'
import { messageOf, systemCode } from '../errors.ts'
import { frame } from '../link/frame.ts'
import type { Reset } from '../link/reset-reason.ts'
import type { Session } from '../link/session.ts'
import type { Stream } from '../link/stream.ts'
import type { StreamEnd, StreamOwner } from '../link/stream-owner.ts'
import { checkHeader } from '../proxy/check-header.ts'
import { encodeProxyV2 } from '../proxy/proxy-header.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { dialOptions, type ReadSocket } from '../sockets/reader.ts'
import type { Ways } from '../ways.ts'
import type { Leg } from './comebacks.ts'
import type { Loops } from './loops.ts'
import type { Target } from './target.ts'
import type { Sender } from './way-back.ts'

/** How a target is tried. */
export interface KnockOptions {
  /** Over this link, where there is one. */
  readonly session: Session | undefined
  /** Called once, later: why it failed, or nothing. */
  readonly told: (error: string | undefined) => void
}

/** The forward that a target is tried for. */
export interface Knocker extends Sender {
  readonly config: TcpForwardConfig
  readonly descriptors: Descriptors
  readonly loops: Loops
  readonly ways: Ways
}

/** Milliseconds after which who takes a connection and says nothing is taken to be well. */
const quiet = 1000

/**
 * Tries a target without a client: connects, says that nobody is behind it (see check-header.ts) where headers are sent,
 * and ends. An end like this one answers by closing, once it has reached its own target, or with a reset: it has not, or
 * drains. Over a link it is a stream that does the same, and is answered at once.
 */
export class Knock implements StreamOwner, Leg {
  readonly forward: Knocker
  readonly cause = undefined
  readonly #told: KnockOptions['told']
  #timer: NodeJS.Timeout
  #socket: Socket | undefined
  #stream: Stream | undefined
  #isTold = false

  constructor(target: Target, forward: Knocker, { session, told }: KnockOptions) {
    const timeout = forward.config.timeouts.connect
    const loop = forward.loops.wayBack.of(forward, target, target.port)
    this.forward = forward
    this.#told = told
    // A stream that is answered and does not end after that is cut as well.
    this.#timer = setTimeout(() => this.#end(`no answer within ${timeout} ms`), timeout).unref()
    if (loop !== undefined) setImmediate(() => this.#end(loop))
    else if (session === undefined) this.#dial(target)
    else this.#open(target, session)
  }

  cameBack(why: string): void {
    this.#end(why)
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

  #dial(target: Target): void {
    const { address, port } = target
    const { config, descriptors, loops, ways } = this.forward
    const shut = ways.shut(address)
    if (shut !== undefined) {
      setImmediate(() => this.#end(shut))
      return
    }
    const socket: ReadSocket = connect({ ...dialOptions, host: address, port })
    this.#socket = socket
    descriptors.hold(socket)
    loops.comebacks.dialled(socket, target, port, this)
    const good = () => this.#end(undefined)
    socket.sink = {
      read() {
        good()
        return false
      },
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
    const stream = session.open(port, encodeProxyV2(undefined, undefined, []).bytes, true)
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
