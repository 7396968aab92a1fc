import { createServer, type Server, type Socket } from 'node:net'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import { formatHostPort } from '../address.ts'
import { messageOf } from '../errors.ts'
import { LineLimit } from '../log/line-limit.ts'
import type { Log } from '../log/log.ts'
import type { Reason } from '../reason.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { listen } from '../sockets/listen.ts'
import { acceptStatic, socketOptions } from '../sockets/reader.ts'

/** Milliseconds between two tries to open one again. */
const rebindPause = 1000

export interface ListenerOptions {
  readonly log: Log
  readonly descriptors: Descriptors
}

/** Milliseconds of a turn of the event loop in which next to nobody can come unseen, and how long to wait for one. */
const shortTurn = 1
const patience = 3000

/** One address and port where clients connect. */
export class Listener {
  readonly protocol = 'tcp'
  /** Empty: all addresses. */
  readonly host: string
  readonly port: number
  readonly #server: Server
  readonly #descriptors: Descriptors
  readonly #log: Log
  readonly #failures: LineLimit
  readonly #address: string
  #isClosed = true
  #isShut = false
  /** It is about to be reopened. */
  #isOpening = false
  /** Why it could not be opened again. */
  #error: string | undefined
  #timer: NodeJS.Timeout | undefined
  #accepted = 0

  constructor(
    host: string,
    port: number,
    accept: (socket: Socket) => void,
    { log, descriptors }: ListenerOptions,
  ) {
    this.host = host
    this.port = port
    this.#log = log
    this.#descriptors = descriptors
    this.#address = formatHostPort(host === '' ? '*' : host, port)
    this.#failures = new LineLimit(log, 'accept failed', { address: this.#address })
    this.#server = createServer(socketOptions, socket => {
      this.#accepted++
      accept(socket)
    })
  }

  /** Rejects with `LISTEN_FAILED`. */
  async open(): Promise<void> {
    this.#isClosed = false
    if (this.#isShut) return
    await listen(this.#server, this.host, this.port)
    this.#descriptors.take(1)
    acceptStatic(this.#server)
    // An accept that fails (EMFILE) must not end the program; the kernel keeps the connection in the backlog.
    this.#server.removeAllListeners('error')
    this.#server.on('error', error => {
      const why = messageOf(error)
      this.#failures.warn(why, { error: why })
    })
  }

  /** Takes no more connections; those that it took go on. Can be opened again. */
  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  /**
   * Closes once everybody is in whom the kernel has let in: it keeps connections that are whole for the program to
   * take, and resets them when their listener is closed. Node takes one in each turn of its event loop, so the queue is
   * empty when a turn went by in which none came. Whoever comes after the turn has looked is lost: it has to be a short
   * one. The wait ends when `signal` is aborted, and when they never stop coming.
   */
  async drain(signal: AbortSignal): Promise<void> {
    const late = performance.now() + patience
    // What is left of this turn looks no more.
    await endOfTurn()
    let isEmpty = false
    while (!isEmpty && !signal.aborted && performance.now() < late) {
      const seen = this.#accepted
      const began = performance.now()
      await endOfTurn()
      isEmpty = this.#accepted === seen && performance.now() - began < shortTurn
    }
    this.close()
  }

  /** Lets the kernel refuse who comes, until it is reopened. */
  shut(): void {
    if (this.#isShut || this.#isClosed) return
    this.#isShut = true
    this.#error = undefined
    this.#stop()
    this.#log.warn({ address: this.#address }, 'listener closed: no target is up')
  }

  /** What was shut; tried again until it can be bound. */
  reopen(): void {
    if (!this.#isShut) return
    this.#isShut = false
    if (!this.#isOpening) void this.#rebind()
  }

  reasons(): Reason[] {
    return this.#error === undefined ? [] : [{ code: 'listen-failed', detail: this.#error }]
  }

  #stop(): void {
    clearTimeout(this.#timer)
    if (!this.#isOpening) this.#release()
  }

  #release(): void {
    if (this.#server.listening) this.#descriptors.give(1)
    this.#server.close()
  }

  async #rebind(): Promise<void> {
    this.#isOpening = true
    try {
      await this.open()
    } catch (error) {
      if (this.#isShut || this.#isClosed) return
      if (this.#error === undefined)
        this.#log.error({ address: this.#address, error: messageOf(error) }, 'listener not opened again')
      this.#error = messageOf(error)
      this.#timer = setTimeout(() => void this.#rebind(), rebindPause).unref()
      return
    } finally {
      this.#isOpening = false
    }
    this.#error = undefined
    // It was shut or closed meanwhile.
    if (this.#isShut || this.#isClosed) this.#release()
    else this.#log.info({ address: this.#address }, 'listener open again')
  }
}
