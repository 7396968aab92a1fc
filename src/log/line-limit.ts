import type { Log } from './log.ts'

/** Lines of one reason within a window, and the window's milliseconds, unless it is said otherwise. */
const usual = { most: 20, window: 10_000 }

/**
 * Lines that strangers can cause: the first few of each reason are written, of the others one line in ten seconds
 * (or another window) tells how many. So a flood of connections is none of lines, and the line that explains it is not lost in it.
 */
export class LineLimit {
  readonly #log: Log
  readonly #message: string
  readonly #fields: object
  readonly #most: number
  readonly #window: number
  /** Of this window, by reason. */
  readonly #counts = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  /**
   * @param fields also in the line that counts the others.
   * @param most lines of one reason within the window.
   * @param window milliseconds.
   */
  constructor(log: Log, message: string, fields: object = {}, most = usual.most, window = usual.window) {
    this.#log = log
    this.#message = message
    this.#fields = fields
    this.#most = most
    this.#window = window
  }

  warn(reason: string, fields: object): void {
    this.#take('warn', reason, fields)
  }

  info(reason: string, fields: object): void {
    this.#take('info', reason, fields)
  }

  #take(level: 'info' | 'warn', reason: string, fields: object): void {
    const count = (this.#counts.get(reason) ?? 0) + 1
    this.#counts.set(reason, count)
    this.#timer ??= setTimeout(() => this.flush(), this.#window).unref()
    if (count <= this.#most) this.#log[level]({ ...this.#fields, ...fields }, this.#message)
  }

  /** Says what was left out until now. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const left = [...this.#counts].filter(([, count]) => count > this.#most)
    this.#counts.clear()
    if (left.length === 0) return
    const more = Object.fromEntries(left.map(([reason, count]) => [reason, count - this.#most]))
    this.#log.warn({ ...this.#fields, more }, `${this.#message}: more than lines are written for`)
  }
}
