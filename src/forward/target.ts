import { isDeepStrictEqual } from 'node:util'
import { formatHostPort, type HostPorts } from '../config/address.ts'
import type { TargetStatus } from './status.ts'

/** Where a forward sends, and how its connections found it. */
export class Target {
  #where: HostPorts
  #status: TargetStatus
  readonly #changed: () => void

  /** @param changed called after it went up or down. */
  constructor(where: HostPorts, changed: () => void) {
    this.#where = where
    this.#status = unknown(where)
    this.#changed = changed
  }

  /** Another place begins unknown, the same one keeps what is known of it. */
  move(where: HostPorts): void {
    if (!isDeepStrictEqual(where, this.#where)) this.#status = unknown(where)
    this.#where = where
  }

  connected(): void {
    if (this.#status.state !== 'up') this.#enter('up', undefined)
  }

  failed(error: string): void {
    if (this.#status.state !== 'down') this.#enter('down', error)
    else this.#status = { ...this.#status, error }
  }

  get status(): TargetStatus {
    return this.#status
  }

  #enter(state: 'up' | 'down', error: string | undefined): void {
    this.#status = { ...this.#status, state, since: Date.now(), error }
    this.#changed()
  }
}

function unknown(where: HostPorts): TargetStatus {
  return { address: formatPorts(where), state: 'unknown', since: Date.now(), error: undefined }
}

/** `10.1.10.2:80`, `*:8000-8010`. */
export function formatPorts({ host, first, last }: HostPorts): string {
  const address = formatHostPort(host === '' ? '*' : host, first)
  return first === last ? address : `${address}-${last}`
}
