import { createServer, type Server, type Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import { messageOf } from '../errors.ts'
import { listen } from '../listen.ts'
import type { Log } from '../log.ts'
import { acceptStatic, socketOptions } from '../reader.ts'

/** One address and port where clients connect. */
export class Listener {
  /** Empty: all addresses. */
  readonly host: string
  readonly port: number
  readonly #server: Server
  readonly #log: Log

  constructor(host: string, port: number, accept: (socket: Socket) => void, log: Log) {
    this.host = host
    this.port = port
    this.#log = log
    this.#server = createServer(socketOptions, accept)
  }

  /** Rejects with `LISTEN_FAILED`. */
  async open(): Promise<void> {
    await listen(this.#server, this.host, this.port)
    acceptStatic(this.#server)
    // An accept that fails (EMFILE) must not end the program; the kernel keeps the connection in the backlog.
    this.#server.removeAllListeners('error')
    this.#server.on('error', error => {
      const address = formatHostPort(this.host, this.port)
      this.#log.error({ address, error: messageOf(error) }, 'accept failed')
    })
  }

  /** Takes no more connections; those that it took go on. Can be opened again. */
  close(): void {
    this.#server.close()
  }
}
