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
