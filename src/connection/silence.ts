import type { Timeouts } from '../config/config.ts'
import type { Carrier } from './carrier.ts'

/** For how many milliseconds nothing may move on a connection, and what its end is called then; `undefined`: for ever. */
export function silenceLimit(
  { isHalfClosed }: Pick<Carrier, 'isHalfClosed'>,
  { idle, halfClosed }: Timeouts,
): { readonly ms: number; readonly cause: 'idle-timeout' | 'half-closed-timeout' } | undefined {
  if (isHalfClosed && (idle === 0 || halfClosed < idle))
    return halfClosed === 0 ? undefined : { ms: halfClosed, cause: 'half-closed-timeout' }
  return idle === 0 ? undefined : { ms: idle, cause: 'idle-timeout' }
}

/** Whether anything moves on a connection: asked now and then, so that no byte sets a timer. */
export class Silence {
  #bytes = -1
  /** On performance.now()'s clock. */
  #since = 0

  /** @param bytes that have moved in all. Returns the milliseconds for which it has found no others. */
  lasts(bytes: number): number {
    const now = performance.now()
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#since = now
    }
    return now - this.#since
  }
}
