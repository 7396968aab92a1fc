import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer } from './exchange.ts'

/** Milliseconds between two views, at least and at most; between them as many times what the last one took. */
const shortestRest = 100
const longestRest = 1000
const restsFor = 4

/**
 * Makes the answers that take time to make: one after the other, with a rest after each, so that they never have more
 * than a fifth of the event loop. Whoever asks while others wait for the same gets the same as they. Nobody gets one
 * that was begun before it was asked for.
 */
export class Views {
  readonly #waiting = new Map<string, Promise<Answer>>()
  #free: Promise<unknown> = Promise.resolve()

  get(path: string, make: () => Answer | Promise<Answer>): Promise<Answer> {
    const waiting = this.#waiting.get(path)
    if (waiting !== undefined) return waiting
    let began = 0
    const made = this.#free.then(async () => {
      this.#waiting.delete(path)
      began = performance.now()
      const answer = await make()
      return { ...answer, body: Buffer.from(answer.body) }
    })
    const rest = () => {
      const wanted = restsFor * (performance.now() - began)
      return sleep(Math.min(Math.max(wanted, shortestRest), longestRest), undefined, { ref: false })
    }
    this.#waiting.set(path, made)
    this.#free = made.then(rest, rest)
    return made
  }
}
