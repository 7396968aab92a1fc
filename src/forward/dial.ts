import { connect, type Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import { EndError, messageOf, systemCode } from '../errors.ts'
import { dialOptions } from '../reader.ts'

/** After this long without an answer the next address is tried beside it; RFC 8305 section 5. Milliseconds. */
const attemptDelay = 250

/**
 * One connection to the first of `addresses` that takes it: the next one is tried at once when one fails, and beside
 * it when one is silent ("happy eyeballs", RFC 8305). The caller sets the deadline, and calls `cancel` when it passes.
 */
export class Dial {
  readonly #addresses: readonly string[]
  readonly #port: number
  readonly #attempts = new Set<Socket>()
  readonly #connected: (socket: Socket) => void
  readonly #failed: (error: EndError) => void
  readonly #errors: string[] = []
  #next = 0
  #timer: NodeJS.Timeout | undefined

  /** Exactly one of `connected` and `failed` (`DIAL_FAILED`) is called, later, unless it is cancelled first. */
  constructor(
    addresses: readonly string[],
    port: number,
    connected: (socket: Socket) => void,
    failed: (error: EndError) => void,
  ) {
    this.#addresses = addresses
    this.#port = port
    this.#connected = connected
    this.#failed = failed
    this.#attempt()
  }

  cancel(): void {
    clearTimeout(this.#timer)
    for (const socket of this.#attempts) socket.destroy()
    this.#attempts.clear()
    this.#next = this.#addresses.length
  }

  #attempt(): void {
    clearTimeout(this.#timer)
    const host = this.#addresses[this.#next++]
    if (host === undefined) return
    const socket = connect({ ...dialOptions, host, port: this.#port })
    // It reads nothing before it has a sink.
    socket.pause()
    this.#attempts.add(socket)
    const onError = (error: Error) => {
      this.#attempts.delete(socket)
      this.#errors.push(`${formatHostPort(host, this.#port)}: ${systemCode(error) ?? messageOf(error)}`)
      if (this.#next < this.#addresses.length) this.#attempt()
      else if (this.#attempts.size === 0) this.#failed(new EndError('DIAL_FAILED', this.#errors.join(', ')))
    }
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      this.#attempts.delete(socket)
      this.cancel()
      this.#connected(socket)
    })
    if (this.#next < this.#addresses.length) this.#timer = setTimeout(() => this.#attempt(), attemptDelay)
  }
}
