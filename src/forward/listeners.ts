import type { Socket } from 'node:net'
import type { Reason } from '../reason.ts'
import { Listener, type ListenerOptions } from './listener.ts'
import { keyOf, type Wanted } from './plan.ts'
import { type Receive, UdpListener } from './udp-listener.ts'

/** A change that is prepared: new listeners are bound, nothing else has happened. Exactly one of the two is called. */
export interface Change {
  commit(): void
  rollback(): Promise<void>
}

/** Who takes what comes to a listener, which is told by its key. */
export interface Taker {
  accept(key: string, socket: Socket): void
  receive(key: string, ...received: Parameters<Receive>): void
}

/** The listeners of an end, by protocol, address and port. */
export class Listeners {
  readonly #taker: Taker
  readonly #options: ListenerOptions
  readonly #open = new Map<string, Listener | UdpListener>()

  constructor(taker: Taker, options: ListenerOptions) {
    this.#taker = taker
    this.#options = options
  }

  /**
   * Binds what is wanted beyond what is bound already. With the first address that cannot be had it takes everything back
   * and rejects with `LISTEN_FAILED`. Those that are not wanted close on `commit`.
   */
  async prepare(wanted: readonly Wanted[]): Promise<Change> {
    const keys = new Set(wanted.map(keyOf))
    const obsolete = [...this.#open.values()].filter(listener => !keys.has(keyOf(listener)))
    const opened: (Listener | UdpListener)[] = []
    const closed: (Listener | UdpListener)[] = []
    const rollback = async () => {
      for (const listener of opened) listener.close()
      for (const listener of closed) await listener.open()
    }
    try {
      for (const want of wanted) {
        const { protocol, port } = want
        const key = keyOf(want)
        if (this.#open.has(key)) continue
        // `:80` and `192.0.2.1:80` exclude each other: what goes makes room for what comes.
        for (const listener of obsolete) {
          if (listener.protocol !== protocol || listener.port !== port) continue
          if (closed.includes(listener)) continue
          listener.close()
          closed.push(listener)
        }
        const listener = this.#new(want)
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
  #new(want: Wanted): Listener | UdpListener {
    const { protocol, host, port } = want
    const key = keyOf(want)
    const taker = this.#taker
    return protocol === 'tcp'
      ? new Listener(host, port, socket => taker.accept(key, socket), this.#options)
      : new UdpListener(host, port, (...received) => taker.receive(key, ...received), this.#options)
  }

  /** Of connections. */
  of(key: string): Listener | undefined {
    const listener = this.#open.get(key)
    return listener?.protocol === 'tcp' ? listener : undefined
  }

  /** Of connections. */
  get tcp(): Listener[] {
    return [...this.#open.values()].filter(listener => listener.protocol === 'tcp')
  }

  /** Of datagrams. */
  get udp(): UdpListener[] {
    return [...this.#open.values()].filter(listener => listener.protocol === 'udp')
  }

  /** They are let go, to be closed by who has them: none is opened again. */
  forget(): void {
    this.#open.clear()
  }

  reasons(): Reason[] {
    return this.tcp.flatMap(listener => listener.reasons())
  }
}
