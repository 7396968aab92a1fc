import { createServer, type Server, type Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { Descriptors } from '../descriptors.ts'
import { messageOf } from '../errors.ts'
import { LineLimit } from '../line-limit.ts'
import { listen } from '../listen.ts'
import type { Log } from '../log.ts'
import { acceptStatic, socketOptions } from '../reader.ts'

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
  readonly #failures: LineLimit

  constructor(
    host: string,
    port: number,
    accept: (socket: Socket) => void,
    { log, descriptors }: ListenerOptions,
  ) {
    this.host = host
    this.port = port
    this.#descriptors = descriptors
    this.#failures = new LineLimit(log, 'accept failed', { address: formatHostPort(host, port) })
    this.#server = createServer(socketOptions, accept)
  }

  /** Rejects with `LISTEN_FAILED`. */
  async open(): Promise<void> {
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
    if (this.#server.listening) this.#descriptors.give(1)
    this.#server.close()
  }
}
