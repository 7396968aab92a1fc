import type { Comebacks } from './comebacks.ts'
import type { WayBack } from './way-back.ts'

/** With this begins what is said of a target that leads back, and of a connection that came back. */
export const loopMark = 'loop: '

/** How an end keeps connections from going round: where an address leads, and what has been here before. */
export interface Loops {
  readonly wayBack: WayBack
  readonly comebacks: Comebacks
}
