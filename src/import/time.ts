import { found } from '../config/issue.ts'
import type { Ledger } from './ledger.ts'

/** A value and the line that it stands in. */
export interface Setting<T> {
  readonly value: T
  readonly line: number
}

const unitUs = { us: 1, ms: 1e3, s: 1e6, m: 6e7, h: 36e8, d: 864e8 }

/** The longest that the config takes, 576h. HAProxy's own limit is just above, 2^31 ms. */
export const longest = 576 * 3_600_000

/**
 * HAProxy's durations (section 2.5 of its configuration manual) in milliseconds, begun ones whole; a number without a
 * unit is milliseconds. `undefined` when the text is none.
 */
export function parseTime(text: string): number | undefined {
  const match = /^(\d{1,12})(us|ms|s|m|h|d)?$/.exec(text)
  if (match === null) return undefined
  const us = Number(match[1]) * unitUs[(match[2] ?? 'ms') as keyof typeof unitUs]
  return Math.ceil(us / 1000)
}

/** What is wrong with a text that is no duration. HAProxy reads one up to its first unit, with a warning at most. */
export function timeProblem(text: string, what: string): string {
  const [begun] = /^\d{1,12}(us|ms|s|m|h|d)(?=.)/.exec(text) ?? []
  const read = begun === undefined ? '' : `; HAProxy takes no more of it than ${begun}: write it in one unit`
  return `${found(text)} as ${what}${read}; allowed: a duration such as 30s`
}

/** A duration that the config can take; `undefined` after an error. */
export function readTime(
  line: number,
  what: string,
  words: readonly string[],
  ledger: Ledger,
): number | undefined {
  const ms = words.length === 1 ? parseTime(words[0]!) : undefined
  if (ms === undefined) {
    ledger.error(line, timeProblem(words.join(' '), what))
    return undefined
  }
  if (ms > longest) ledger.warn(line, `found ${what} ${words[0]}; the longest is 576h, which it becomes`)
  return Math.min(ms, longest)
}

/** As the config has it, in the largest unit that fits: 600000 → `10m`. */
export function formatTime(ms: number): string {
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const)
    if (ms % size === 0) return `${ms / size}${unit}`
  return `${ms}ms`
}
