import { createServer, type Server } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import { messageOf } from '../errors.ts'
import { listen } from '../listen.ts'
import { socketOptions } from './dial.ts'
import type { Forward } from './forward.ts'

/** One address and port where clients connect. Which forward they belong to may change while it listens. */
export class Listener {
  /** Empty: all addresses. */
  readonly host: string
  readonly port: number
  readonly #server: Server
  #forward: Forward
  #targetPort: number

  constructor(host: string, port: number, forward: Forward, targetPort: number) {
    this.host = host
    this.port = port
    this.#forward = forward
    this.#targetPort = targetPort
    this.#server = createServer(socketOptions, socket => this.#forward.accept(socket, this.#targetPort))
  }

  /** Rejects with `LISTEN_FAILED`. */
  async open(): Promise<void> {
    await listen(this.#server, this.host, this.port)
    // An accept that fails (EMFILE) must not end the program; the kernel keeps the connection in the backlog.
    this.#server.removeAllListeners('error')
    this.#server.on('error', error => {
      const address = formatHostPort(this.host, this.port)
      this.#forward.log.error({ address, error: messageOf(error) }, 'accept failed')
    })
  }

  /** From the next connection on. */
  assign(forward: Forward, targetPort: number): void {
    this.#forward = forward
    this.#targetPort = targetPort
  }

  /** Takes no more connections; those that it took go on. Can be opened again. */
  close(): void {
    this.#server.close()
  }
}
