/**
 * Exponential back-off: the wait before retry number `attempt`, counted from 0.
 * `first` and `max` are milliseconds; the wait doubles from the one to the other.
 */
export function backoff(attempt: number, first: number, max: number): number {
  return Math.min(first * 2 ** attempt, max)
}

/** Between half of `wait` and all of it, so that many ends that failed together do not retry together. */
export function jittered(wait: number, random: () => number = Math.random): number {
  return wait * (0.5 + random() / 2)
}
