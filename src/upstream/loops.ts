import type { Comebacks } from './comebacks.ts'
import type { WayBack } from './way-back.ts'

/** How an end keeps connections from going round: where an address leads, and what has been here before. */
export interface Loops {
  readonly wayBack: WayBack
  readonly comebacks: Comebacks
}
