/** Datagrams, and bytes of them, that wait while the name of a target is looked up; and bytes of all flows of a forward. */
const most = 16
const mostBytes = 65_536
const mostOfAll = 4 << 20

/** What flows share: bytes that wait. */
export class Room {
  bytes = 0
}

/** What has come of a flow before there is a target, in order. */
export class Queue {
  readonly #room: Room
  #datagrams: Buffer[] = []
  #bytes = 0

  constructor(room: Room) {
    this.#room = room
  }

  /** Returns whether there was room for it. */
  add(datagram: Buffer): boolean {
    const { length } = datagram
    if (this.#datagrams.length >= most || this.#bytes + length > mostBytes) return false
    if (this.#room.bytes + length > mostOfAll) return false
    this.#datagrams.push(datagram)
    this.#bytes += length
    this.#room.bytes += length
    return true
  }

  /** All of it; nothing is left. */
  take(): readonly Buffer[] {
    const datagrams = this.#datagrams
    this.#datagrams = []
    this.#room.bytes -= this.#bytes
    this.#bytes = 0
    return datagrams
  }
}
