import type { Socket } from 'node:net'
import type { Reason } from '../reason.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import { keyOf, type Wanted } from './plan.ts'

/** A change that is prepared: new listeners are bound, nothing else has happened. Exactly one of the two is called. */
export interface Change {
  commit(): void
  rollback(): Promise<void>
}

/** The listeners of an end, by address and port. */
export class Listeners {
  readonly #accept: (key: string, socket: Socket) => void
  readonly #options: ListenerOptions
  readonly #open = new Map<string, Listener>()

  constructor(accept: (key: string, socket: Socket) => void, options: ListenerOptions) {
    this.#accept = accept
    this.#options = options
  }

  /**
   * Binds what is wanted beyond what is bound already. With the first address that cannot be had it takes everything back
   * and rejects with `LISTEN_FAILED`. Those that are not wanted close on `commit`.
   */
  async prepare(wanted: readonly Wanted[]): Promise<Change> {
    const keys = new Set(wanted.map(keyOf))
    const obsolete = [...this.#open.values()].filter(listener => !keys.has(keyOf(listener)))
    const opened: Listener[] = []
    const closed: Listener[] = []
    const rollback = async () => {
      for (const listener of opened) listener.close()
      for (const listener of closed) await listener.open()
    }
    try {
      for (const { host, port } of wanted) {
        const key = keyOf({ host, port })
        if (this.#open.has(key)) continue
        // `:80` and `192.0.2.1:80` exclude each other: what goes makes room for what comes.
        for (const listener of obsolete) {
          if (listener.port !== port || closed.includes(listener)) continue
          listener.close()
          closed.push(listener)
        }
        const listener = new Listener(host, port, this.#acceptAt(key), this.#options)
        await listener.open()
        opened.push(listener)
      }
    } catch (error) {
      await rollback()
      throw error
    }
    const commit = () => {
      for (const listener of obsolete) {
        listener.close()
        this.#open.delete(keyOf(listener))
      }
      for (const listener of opened) this.#open.set(keyOf(listener), listener)
    }
    return { commit, rollback }
  }

  /** Not made in `prepare`: a listener would keep all that is known there, every listener that there was among it. */
  #acceptAt(key: string): (socket: Socket) => void {
    return socket => this.#accept(key, socket)
  }

  of(key: string): Listener | undefined {
    return this.#open.get(key)
  }

  get all(): Listener[] {
    return [...this.#open.values()]
  }

  /** They are let go, to be closed by who has them: none is opened again. */
  forget(): void {
    this.#open.clear()
  }

  reasons(): Reason[] {
    return this.all.flatMap(listener => listener.reasons())
  }
}
