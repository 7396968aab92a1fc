import { Kept } from './kept.ts'

/** Replies without KNOWN, and none with it in between, after which the target is taken for somebody else. */
const greatestStrange = 8

/** What the flows to one target know together of it: whether it is another end of ours, and what waits for its word. */
export class FarEnd<Flow> {
  /** Datagrams that wait until it knows their flow. */
  readonly kept = new Kept<Flow>()
  #isOurs = false
  #strange = 0

  /** It has said that it knows a flow. */
  known(): void {
    this.#isOurs = true
    this.#strange = 0
  }

  /**
   * Whether a reply without KNOWN, to a flow of which it has not said that it knows it, is for the flow. Not from an end of
   * ours: it is for a flow before this one, on the same source port. Another program may have taken its place, though.
   */
  mayReply(): boolean {
    if (this.#isOurs && ++this.#strange >= greatestStrange) this.#isOurs = false
    return !this.#isOurs
  }
}
