import type { Socket } from 'node:net'
import { ownSize, pass, pin, type ReadSocket } from '../sockets/reader.ts'
import { reset } from '../sockets/reset.ts'
import { askUnheard } from '../sockets/unheard.ts'
import { Delivery } from './delivery.ts'
import { Flow } from './flow.ts'
import { exactly, frame, LinkError, uint32 } from './frame.ts'
import { awaitEnd, type Joined, join } from './joint.ts'
import { copied } from './outbox.ts'
import { decodeReset, encodeReset, type Reset } from './reset-reason.ts'
import { beginning, type StreamEnd, type StreamLink, type StreamOwner } from './stream-owner.ts'

/**
 * One connection across a link: a local socket at both ends, and between them frames. A long one is promoted: at a
 * marked byte of each direction it moves to a lane, a tunnel connection of its own. The far end says how much may be
 * sent (credit), on lanes too: a reader that stops costs its own stream only, and bulk does not queue in front of all.
 * A half-close is `end` after the last byte, or FIN on the lane; a reset is told as one, never as an end.
 */
export class Stream implements Joined {
  readonly id: number
  /** From the far end to the local socket, and the other way. */
  receivedBytes = 0
  sentBytes = 0
  owner: StreamOwner | undefined
  readonly delivery: Delivery
  #session: StreamLink | undefined
  #local: ReadSocket | undefined
  #lane: ReadSocket | undefined
  readonly #flow: Flow
  #localEnded = false
  /** And that was told over the link, before there was a lane. */
  #hasToldEnd = false
  #farEnded = false
  #isBlocked = false
  /** What the far end sends comes on the lane from now on. */
  #isSwitched = false
  #isOver = false

  constructor(session: StreamLink, id: number, credit: number, granted: number) {
    this.#session = session
    this.id = id
    this.#flow = new Flow(credit, granted)
    this.delivery = new Delivery(session.holdings, this)
  }

  get isPromoted(): boolean {
    return this.#lane !== undefined
  }

  get isHalfClosed(): boolean {
    return this.#localEnded !== this.#farEnded
  }

  /** Joins it with a connected socket. `toLocal` goes in one piece before what has arrived; `toFar` was read from it. */
  attach(local: ReadSocket, toLocal: Buffer | undefined, toFar: Buffer | undefined): void {
    this.#local = local
    join(local, this)
    this.delivery.attach(local, toLocal)
    if (toFar !== undefined) this.#send(toFar, false)
    if (this.#farEnded) this.delivery.end()
    if (local.readableEnded) this.#endHere()
    else this.#gate()
    this.#readLane()
  }

  /** Looks whether those of its sockets are still connected that are not read. */
  look(): void {
    askUnheard(this.#local, this.#lane)
  }

  /** Lets the far end send so many more bytes. 0 tells it that the local socket is there, and a check waits for that. */
  grant(bytes: number): void {
    this.#session?.send(this.id, frame.credit, uint32(bytes))
  }

  /** Cuts it at both ends. */
  abort(why: Reset, end: StreamEnd = 'aborted'): void {
    this.#session?.send(this.id, frame.reset, encodeReset(why))
    this.#over(end, why)
  }

  data(part: Buffer): void {
    if (!this.#flow.received(part.length) || this.#isSwitched || this.#farEnded)
      throw new LinkError(`data for stream ${this.id} beyond its credit, its end or its switch`)
    if (this.receivedBytes === 0) this.owner?.answered?.()
    this.receivedBytes += part.length
    this.delivery.deliver(part)
  }

  control(type: number, payload: Buffer): void {
    if (type === frame.end) this.#endThere()
    else if (type === frame.reset) this.#over('far-reset', decodeReset(payload))
    else if (type === frame.credit) {
      this.#flow.credited(exactly(4, payload).readUInt32BE())
      this.#gate()
      this.owner?.answered?.()
    } else if (type === frame.want) this.#session?.wanted(this)
    else if (type === frame.switch) this.#switch()
  }

  /** The link takes nothing more for now. */
  block(): void {
    if (this.#lane !== undefined) return
    this.#isBlocked = true
    this.#gate()
  }

  /** The link has room again. */
  unblock(): void {
    if (this.#isOver || this.#lane?.writableNeedDrain) return
    this.#isBlocked = false
    this.#gate()
  }

  /** From here the stream's bytes travel on `lane`. */
  promote(lane: Socket): void {
    this.#lane = lane
    join(lane, this)
    this.#session?.send(this.id, frame.switch)
    if (this.#localEnded) lane.end()
    this.#readLane()
  }

  /** The link is gone: a stream that has left it goes on, without credit, and so does one that has all it will get. */
  linkLost(why: string): void {
    this.#session = undefined
    this.#flow.unbind()
    if ((this.#lane !== undefined && this.#isSwitched) || (this.#localEnded && this.#farEnded)) this.unblock()
    else this.#over('link-lost', { reason: 'reset', detail: why })
  }

  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean {
    if (this.#isOver) return false
    if (socket === this.#lane) return this.#takeFromLane(chunk, isShared)
    if (this.sentBytes < beginning && this.owner?.begins?.(chunk) === false) return false
    return this.#send(chunk, isShared)
  }

  ended(socket: ReadSocket): void {
    socket === this.#lane ? this.#endThere() : this.#endHere()
  }

  drained(socket: ReadSocket): void {
    if (socket === this.#lane) this.unblock()
    else {
      this.delivery.drained()
      this.#readLane()
    }
  }

  /** The local socket takes more. Gives credit back once half of the window is used up. */
  taken(): void {
    if (this.#session === undefined || this.#farEnded || this.#isOver) return
    const bytes = this.#flow.refill(this.#session.windowOf(this))
    if (bytes > 0) this.grant(bytes)
  }

  failed(socket: ReadSocket, detail: string): void {
    if (this.#isOver) return
    const isWhole = this.#localEnded && this.#farEnded && this.#local?.destroyed && !this.#local.errored
    // Before the far end has switched it may not know of its lane, and a lost one tells it nothing.
    const hasArrived = this.#hasToldEnd || (this.#isSwitched && socket.writableLength === 0)
    if (socket === this.#lane && isWhole && hasArrived) this.#over('complete', undefined)
    else this.abort({ reason: 'reset', detail }, socket === this.#lane ? 'far-reset' : 'local-reset')
  }

  /** Each is closed by both ends, after both directions; earlier it was cut. */
  closed(socket: ReadSocket): void {
    if (!this.#localEnded || !this.#farEnded) this.failed(socket, 'closed before its end')
    else if (this.#local?.destroyed && this.#lane?.destroyed !== false) this.#over('complete', undefined)
    else if (socket === this.#local && this.#lane !== undefined) awaitEnd(this.#lane) // It closes once it has sent.
  }

  #endThere(): void {
    if (this.#farEnded) return
    this.#farEnded = true
    this.owner?.answered?.()
    if (!this.#localEnded) this.owner?.halfClosed()
    // With nothing left to read or write, close() alone sends the FIN: one system call less than shutdown() first.
    if (this.#localEnded && this.#local?.writableLength === 0) this.#local.destroy()
    else this.delivery.end()
  }

  #switch(): void {
    if (this.#isSwitched) throw new LinkError(`stream ${this.id} switched twice`)
    this.#isSwitched = true
    this.#readLane()
  }

  /** Returns whether more may be read. */
  #send(chunk: Buffer, isShared: boolean): boolean {
    const { length } = chunk
    this.sentBytes += length
    if (this.#flow.sent(length) && this.#lane === undefined) this.#session?.promote(this)
    if (this.#lane === undefined) {
      // What is small is copied into frames; the rest goes by reference, and is not to keep much more than itself.
      const isCopied = length > copied && (isShared || length < ownSize / 8 || this.#session?.isFull)
      const isTaken = this.#session?.sendData(this, isCopied ? Buffer.from(chunk) : chunk)
      this.#isBlocked = isTaken === false
      if (!isCopied && length > copied) pin()
    } else this.#isBlocked = !pass(chunk, isShared, this.#lane)
    return this.#gate()
  }

  #takeFromLane(chunk: Buffer, isShared: boolean): boolean {
    if (!this.#flow.received(chunk.length)) {
      this.abort({ reason: 'reset', detail: 'more than its credit' })
      return false
    }
    this.receivedBytes += chunk.length
    this.#session?.delivered(chunk.length)
    const goOn = this.#local !== undefined && pass(chunk, isShared, this.#local)
    if (goOn) this.taken()
    else this.#lane?.pause()
    return goOn
  }

  #gate(): boolean {
    const open = this.#flow.maySend && !this.#isBlocked
    if (!open) this.#local?.pause()
    else if (!this.#local?.readableFlowing) this.#local?.resume()
    return open
  }

  #readLane(): void {
    if (this.#isSwitched && this.#local !== undefined && this.delivery.isDone) this.#lane?.resume()
  }

  #endHere(): void {
    if (this.#localEnded || this.#isOver) return
    this.#localEnded = true
    this.#hasToldEnd = this.#lane === undefined
    if (this.#lane !== undefined) this.#lane.end()
    else this.#session?.send(this.id, frame.end)
    if (!this.#farEnded) this.owner?.halfClosed()
    else if (this.#local!.writableLength === 0) this.#local!.destroy()
  }

  #over(end: StreamEnd, why: Reset | undefined): void {
    if (this.#isOver) return
    this.#isOver = true
    this.delivery.close()
    this.#session?.remove(this)
    if (end !== 'complete') {
      if (this.owner?.takesBack?.(end, why)) return
      for (const socket of [this.#local, this.#lane]) if (socket !== undefined) reset(socket)
    }
    this.owner?.streamEnded(end, why)
  }
}
