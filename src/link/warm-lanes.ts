import type { Socket } from 'node:net'
import type { Descriptors } from '../sockets/descriptors.ts'

/** Milliseconds for which none is dialled once one was lost that nobody had taken: the far end does not want them. */
const pause = 1000

/** The lanes of one link that are dialled ahead: a promotion never waits for one. */
export class WarmLanes {
  readonly #most: number
  readonly #descriptors: Descriptors
  readonly #dial: () => Socket
  /** Each with what is called when it is gone before it is taken. */
  readonly #lanes = new Map<Socket, () => void>()
  #isClosed = false
  /** From when on they are dialled; on performance.now()'s clock. */
  #from = 0

  /** Dials the first. @param dial gives a lane that connects. */
  constructor(most: number, descriptors: Descriptors, dial: () => Socket) {
    this.#most = most
    this.#descriptors = descriptors
    this.#dial = dial
    this.#fill()
  }

  /** One that is connected, if there is one. */
  take(): Socket | undefined {
    for (const [lane, gone] of this.#lanes) {
      if (lane.connecting) continue
      this.#lanes.delete(lane)
      // Not removeAllListeners(): that makes a paused socket flow once somebody listens for its data.
      lane.off('close', gone)
      this.#fill()
      return lane
    }
    this.#fill()
    return undefined
  }

  close(): void {
    this.#isClosed = true
    for (const lane of this.#lanes.keys()) lane.destroy()
    this.#lanes.clear()
  }

  #fill(): void {
    if (performance.now() < this.#from) return
    // Without a lane a stream stays on the link, which needs no descriptor.
    while (!this.#isClosed && this.#lanes.size < this.#most && this.#descriptors.shortage(1) === undefined) {
      const lane = this.#dial()
      const gone = () => {
        this.#lanes.delete(lane)
        this.#from = performance.now() + pause
      }
      this.#lanes.set(lane, gone)
      lane.on('error', () => {})
      lane.on('close', gone)
    }
  }
}
