import { createServer, type Server, type Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { Descriptors } from '../descriptors.ts'
import { messageOf } from '../errors.ts'
import { LineLimit } from '../line-limit.ts'
import { listen } from '../listen.ts'
import type { Log } from '../log.ts'
import { acceptStatic, socketOptions } from '../reader.ts'
import type { Reason } from '../reason.ts'

/** Milliseconds between two tries to open one again. */
const rebindPause = 1000

export interface ListenerOptions {
  readonly log: Log
  readonly descriptors: Descriptors
}

/** One address and port where clients connect. */
export class Listener {
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
    this.#server = createServer(socketOptions, accept)
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
