/** Milliseconds between two beats. */
export const beatEvery = 1000

const listeners = new Set<() => void>()
let timer: NodeJS.Timeout | undefined

/**
 * Calls `listener` every second, the first time within one and a half, until what is returned is called. All listeners have
 * the same beat: an end with many idle links wakes up once for all of them, and sleeps in between.
 */
export function onBeat(listener: () => void): () => void {
  listeners.add(listener)
  if (timer === undefined) schedule()
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    clearTimeout(timer)
    timer = undefined
  }
}

/** At a full second of performance.now()'s clock, one of the moments at which targets are tried; half a second away at least. */
function schedule(): void {
  const left = beatEvery - (performance.now() % beatEvery)
  timer = setTimeout(beat, left < beatEvery / 2 ? left + beatEvery : left).unref()
}

function beat(): void {
  schedule()
  for (const listener of listeners)
    try {
      listener()
    } catch (error) {
      // A fault of one link is no reason to leave out the others.
      process.nextTick(() => {
        throw error
      })
    }
}
