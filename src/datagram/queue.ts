/** Datagrams, and bytes of them, that wait while the name of a target is looked up. */
const most = 16
const mostBytes = 65_536

/** What has come of a flow before there is a target, in order. */
export class Queue {
  #datagrams: Buffer[] = []
  #bytes = 0

  /** Returns whether there was room for it. */
  add(datagram: Buffer): boolean {
    if (this.#datagrams.length >= most || this.#bytes + datagram.length > mostBytes) return false
    this.#datagrams.push(datagram)
    this.#bytes += datagram.length
    return true
  }

  /** All of it; nothing is left. */
  take(): readonly Buffer[] {
    const datagrams = this.#datagrams
    this.#datagrams = []
    this.#bytes = 0
    return datagrams
  }
}
