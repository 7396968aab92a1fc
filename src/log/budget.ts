import { isoTime } from '../clock.ts'
import type { Log, LogLevel } from './log.ts'

/** The window's milliseconds, and the lines of one message in it that are written at once. */
const window = 10_000
const atOnce = 20
/** Lines of one message that wait for the end of the window. */
const mostHeld = 100
/** Characters of one field; what names, targets and far ends say may be long. */
const longest = 2000
/** Fields that tell what a line is about: its subject. */
const subjectFields = ['forward', 'target', 'reason', 'peer', 'host', 'address', 'warning']
/** One for each connection or flow, and what `log.connections` of the config turns off: not bounded. */
const accessLog: ReadonlySet<string> = new Set(['connection ended', 'flow ended'])

type Level = 'info' | 'warn' | 'error'

interface Held {
  readonly level: Level
  readonly fields: object
  readonly message: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** How many lines of one message there were in this window, and of these: written, and held. */
interface Count {
  all: number
  written: number
  held: number
}

/**
 * A bound for the lines of an end: whatever a peer, client, target or name server repeats is no flood of lines, and what
 * others cause is not lost in it. In ten seconds the first lines of each message are written at once. Of the others the
 * last one about each subject is written when the ten seconds are over, with its time (`at`), so that the log ends with
 * how things are; one line tells how many were left out. Lines about one subject stay in order. Fields are cut that are
 * longer than 2000 characters. `debug` is not bounded.
 */
export class LogBudget implements Log {
  readonly #log: Log
  /** By message; there are only as many as this program has. */
  readonly #counts = new Map<string, Count>()
  /** By message and subject, in the order in which they came. */
  readonly #held = new Map<string, Held>()
  readonly #heldSubjects = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(log: Log) {
    this.#log = log
  }

  debug(fields: object, message: string): void {
    this.#log.debug(fields, message)
  }

  info(fields: object, message: string): void {
    if (accessLog.has(message)) this.#log.info(fields, message)
    else this.#take('info', fields, message)
  }

  warn(fields: object, message: string): void {
    this.#take('warn', fields, message)
  }

  error(fields: object, message: string): void {
    this.#take('error', fields, message)
  }

  isLevelEnabled(level: LogLevel): boolean {
    return this.#log.isLevelEnabled(level)
  }

  /** Ends the window: writes the lines that are held, and says how many were left out. */
  flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const left = [...this.#counts].filter(([, { all, written, held }]) => all > written + held)
    for (const { level, fields, message, at } of this.#held.values())
      this.#log[level]({ ...cut(fields), at: isoTime(at) }, message)
    if (left.length > 0) {
      const lines = Object.fromEntries(
        left.map(([message, { all, written, held }]) => [message, all - written - held]),
      )
      this.#log.warn({ lines }, 'log lines left out: more than are written')
    }
    this.#counts.clear()
    this.#held.clear()
    this.#heldSubjects.clear()
  }

  #take(level: Level, fields: object, message: string): void {
    this.#timer ??= setTimeout(() => this.flush(), window).unref()
    const subject = subjectOf(fields) ?? message
    const count = this.#count(message)
    count.all++
    // Not before one that waits: the last of both is the one that is true.
    if (count.written < atOnce && !this.#heldSubjects.has(subject)) {
      count.written++
      this.#log[level](cut(fields), message)
      return
    }
    const key = `${message} ${subject}`
    const isKnown = this.#held.delete(key)
    if (!isKnown && count.held === mostHeld) return
    if (!isKnown) count.held++
    this.#held.set(key, { level, fields, message, at: performance.now() })
    this.#heldSubjects.add(subject)
  }

  #count(message: string): Count {
    let count = this.#counts.get(message)
    if (count === undefined) {
      count = { all: 0, written: 0, held: 0 }
      this.#counts.set(message, count)
    }
    return count
  }
}

function cut(fields: object): object {
  const entries = Object.entries(fields)
  if (entries.every(([, value]) => typeof value !== 'string' || value.length <= longest)) return fields
  return Object.fromEntries(
    entries.map(([name, value]) => [
      name,
      typeof value === 'string' && value.length > longest ? `${value.slice(0, longest)}…` : value,
    ]),
  )
}

/** As one string; `undefined` where none of its fields tells it. */
function subjectOf(fields: object): string | undefined {
  const found = subjectFields.map(name => (fields as Readonly<Record<string, unknown>>)[name])
  return found.some(value => value !== undefined) ? JSON.stringify(found) : undefined
}
