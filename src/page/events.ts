import { monotonic, wallTime } from '../clock.ts'
import type { Log } from '../log/log.ts'
import type { Tone } from './mark.ts'
import { type Fields, type Reading, readings } from './readings.ts'

/**
 * What happened to the end lately, for a person. Every event of the program is one line of its log already, so this
 * reads along: lines with the messages of `readings` are kept, of their fields only what those take. The log's level
 * does not matter.
 */

/** How many are kept. */
const limit = 50
/** Characters of a detail: the errors of a config can be long. */
const longestDetail = 240

export interface Event {
  /** Milliseconds since the epoch, of the first and of the last of `count` like it. */
  readonly first: number
  readonly last: number
  readonly count: number
  readonly tone: Tone
  readonly title: string
  /** Of the last one. */
  readonly detail: string
}

export class Events {
  readonly #now: () => number
  /** Oldest first. */
  #kept: (Event & { readonly like: string | undefined })[] = []

  constructor({ now = monotonic }: { readonly now?: () => number } = {}) {
    this.#now = now
  }

  /** Newest first. */
  get recent(): readonly Event[] {
    return this.#kept.toReversed().map(({ like: _, first, last, ...event }) => {
      return { ...event, first: wallTime(first), last: wallTime(last) }
    })
  }

  /** A log that passes each line on to `log`, and reads it. */
  readAlong(log: Log): Log {
    const pass = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => {
      log[level](fields, message)
      const reading = readings.get(message)?.(fields as Fields)
      if (reading !== undefined) this.#keep(reading)
    }
    return {
      debug: (fields, message) => log.debug(fields, message),
      info: pass('info'),
      warn: pass('warn'),
      error: pass('error'),
      isLevelEnabled: level => log.isLevelEnabled(level),
    }
  }

  #keep({ tone, title, detail = '', like }: Reading): void {
    const now = this.#now()
    const at = like === undefined ? -1 : this.#kept.findIndex(event => event.like === like)
    const [before] = at < 0 ? [] : this.#kept.splice(at, 1)
    const { first, count } = before ?? { first: now, count: 0 }
    this.#kept.push({ first, last: now, count: count + 1, tone, title, detail: clipped(detail), like })
    if (this.#kept.length > limit) this.#kept.shift()
  }
}

function clipped(text: string): string {
  return text.length > longestDetail ? `${text.slice(0, longestDetail)}…` : text
}
