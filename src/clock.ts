/**
 * Durations, ages and deadlines are differences on performance.now()'s clock, which nobody sets. Moments on it become times
 * of day only where they are shown, by the wall clock of then: when that is set, ages stay what they are.
 */

/** Milliseconds by which the two clocks may drift apart until it shows; so what is shown does not flicker. */
const jump = 1000

let offset = wallOffset()

/** Milliseconds on the clock that nobody sets: performance.now(), to be given as a function. */
export function monotonic(): number {
  return performance.now()
}

/** Milliseconds since the epoch of a moment on performance.now()'s clock. */
export function wallTime(moment: number): number {
  return Math.round(moment + currentOffset())
}

/** The moment of a time in milliseconds since the epoch, on performance.now()'s clock: right if nobody has set the clock since. */
export function momentOf(time: number): number {
  return time - currentOffset()
}

/** A moment on performance.now()'s clock as ISO 8601 text. */
export function isoTime(moment: number): string {
  return new Date(wallTime(moment)).toISOString()
}

function currentOffset(): number {
  const now = wallOffset()
  if (Math.abs(now - offset) > jump) offset = now
  return offset
}

function wallOffset(): number {
  return Date.now() - performance.now()
}
