import { begin, type Transfer } from './load.ts'

/** Clients that come at a steady rate, whatever becomes of those before them, to a `Target` of load.ts. */

export interface ArrivalsOptions {
  readonly host: string
  readonly port: number
  /** New ones in a second. Each gets a few bytes and goes. */
  readonly rate: number
  /** Milliseconds that one may take, and then has failed: `silent`. */
  readonly patience: number
}

/** How often clients come, those of so many milliseconds at once. */
const tick = 10
/** Bytes a second that a client with a long download takes. */
const slowRate = 1 << 20

export class Arrivals {
  readonly #options: ArrivalsOptions
  readonly #timer: NodeJS.Timeout
  readonly #running = new Set<Promise<void>>()
  #began = performance.now()
  #count = 0
  #downloads = 0
  readonly #short: Transfer[] = []
  readonly #long: Transfer[] = []

  constructor(options: ArrivalsOptions) {
    this.#options = options
    this.#timer = setInterval(() => this.#come(), tick)
  }

  /** One that takes `bytes` slowly, so that it lasts. */
  download(bytes: number): void {
    this.#run(this.#long, bytes, `long-${this.#downloads++}`, true)
  }

  /** Ends it; resolves with what became of each, once all have ended. */
  async finish(): Promise<{ short: Transfer[]; long: Transfer[] }> {
    clearInterval(this.#timer)
    await Promise.all(this.#running)
    return { short: this.#short, long: this.#long }
  }

  #come(): void {
    const due = Math.floor(((performance.now() - this.#began) / 1000) * this.#options.rate)
    // One that was late is not made up for by a crowd.
    const most = Math.ceil((this.#options.rate * tick) / 1000) * 4
    for (let i = 0; this.#count < due && i < most; i++) this.#run(this.#short, 100, `${this.#count++}`, false)
    if (this.#count < due) this.#began += ((due - this.#count) / this.#options.rate) * 1000
  }

  #run(into: Transfer[], bytes: number, key: string, isSlow: boolean): void {
    const began = Date.now()
    const { socket, end } = begin(this.#options, 'down', bytes, key)
    let isSilent = false
    socket.setTimeout(this.#options.patience, () => {
      isSilent = true
      socket.emit('reset by this client')
    })
    if (isSlow)
      socket.on('data', chunk => {
        socket.pause()
        setTimeout(() => socket.resume(), (chunk.length / slowRate) * 1000)
      })
    const done = end.then(end => {
      into.push({ way: 'down', bytes, began, ended: Date.now(), end: isSilent ? 'silent' : end })
      this.#running.delete(done)
    })
    this.#running.add(done)
  }
}
