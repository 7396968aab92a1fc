import { constants, fstatSync, openSync, write, writeSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { systemCode } from '../errors.ts'

/** Bytes of lines that wait for a reader; what comes on top of them is dropped. */
const mostWaiting = 1 << 20
/** Bytes that a pipe takes as a whole or not at all: PIPE_BUF of pipe(7). */
const atomic = 4096
/** Bytes for one write to what may wait, and of a burst that is written before the turn of the event loop is over. */
const burst = 64 * 1024
/** Milliseconds from a line until it is written with those that came after it, and until stdout is tried again: at first, at most. */
const soonest = 1
const latest = 50
/** Milliseconds that the last lines have at the end, however late it is. */
const leastToEnd = 1_000

/**
 * Where log lines go: stdout, whatever it is. Writing never waits for who reads it: what stdout does not take at once
 * stays here, in whole lines and in order, and is tried again; beyond 1 MiB lines are dropped, counted and told. A full
 * disk or a reader that has gone is the same, and lines go on when there is room or another reader.
 * No line is cut, but for one that must be left at the end when stdout has taken only a part of it: on a pipe that is one
 * of more than 4096 bytes.
 */
export class LogOutput {
  /** Lines that were dropped since the start. */
  dropped = 0
  readonly #tell: (lines: number, error: string | undefined) => void
  readonly #fd: number
  /** Whether a write may wait, for a disk: then libuv's threads do it. */
  #mayWait: boolean
  readonly #lines: string[] = []
  /** Lines on their way, or what is left of them. */
  #chunk: Buffer | undefined
  #isWriting = false
  /** Bytes in `#lines` and `#chunk`. */
  #waiting = 0
  /** How many of them are too many to wait for the timer. */
  #tooMany = burst
  /** Lines dropped and not told yet. */
  #untold = 0
  /** Of the first of these, why stdout took nothing. */
  #cause: string | undefined
  #timer: NodeJS.Timeout | undefined
  #pause = soonest
  /** The code with which stdout took nothing last time; EAGAIN: it is full, because its reader is slow or stopped. */
  #refusal: string | undefined

  /** @param tell logs how many lines are missing at this place, and the error's code. */
  constructor(tell: (lines: number, error: string | undefined) => void) {
    this.#tell = tell
    const stdout = openStdout()
    this.#fd = stdout.fd
    this.#mayWait = stdout.mayWait
    process.on('exit', () => {
      // What a thread has is written still.
      if (this.#isWriting) this.#chunk = undefined
      this.#isWriting = this.#mayWait = false
      this.#writeAll()
    })
  }

  /** Takes one line with its end. */
  write(line: string): void {
    // From the first line that is dropped until half of the room is free: what is missing is missing in one place.
    if (this.#untold > 0 || this.#waiting > mostWaiting) {
      if (this.#untold++ === 0) this.#cause = this.#refusal
      this.dropped++
      return
    }
    this.#lines.push(line)
    this.#waiting += Buffer.byteLength(line)
    if (this.#waiting > this.#tooMany) this.#writeAll()
    else this.#timer ??= setTimeout(this.#again, soonest)
  }

  /**
   * Resolves once all is written, or there is nobody to write to, or at `late`, but not before a second has passed. Lines
   * that are left then are lost.
   */
  async end(late?: AbortSignal): Promise<void> {
    const least = AbortSignal.timeout(leastToEnd)
    this.#writeAll()
    while (this.#waiting > 0 && (this.#isWriting || this.#refusal === 'EAGAIN')) {
      if (least.aborted && late?.aborted !== false) break
      await sleep(10)
    }
    clearTimeout(this.#timer)
  }

  readonly #again = (): void => {
    this.#timer = undefined
    this.#pause = Math.min(2 * this.#pause, latest)
    this.#writeAll()
  }

  #writeAll(): void {
    while (!this.#isWriting) {
      this.#chunk ??= this.#takeChunk()
      if (this.#chunk === undefined) break
      if (this.#mayWait) this.#writeAside(this.#chunk)
      else if (!this.#writeNow(this.#chunk)) break
    }
    this.#tooMany = this.#waiting + burst
  }

  #writeNow(chunk: Buffer): boolean {
    try {
      this.#written(writeSync(this.#fd, chunk))
      return true
    } catch (error) {
      this.#refused(error)
      return false
    }
  }

  #writeAside(chunk: Buffer): void {
    this.#isWriting = true
    write(this.#fd, chunk, (error, bytes) => {
      this.#isWriting = false
      if (error !== null) return this.#refused(error)
      this.#written(bytes)
      this.#writeAll()
    })
  }

  /** As many whole lines as are taken at once, one at least. */
  #takeChunk(): Buffer | undefined {
    const most = this.#mayWait ? burst : atomic
    let bytes = 0
    const end = this.#lines.findIndex((line, i) => {
      bytes += Buffer.byteLength(line)
      return bytes > most && i > 0
    })
    const lines = this.#lines.splice(0, end < 0 ? this.#lines.length : end)
    return lines.length === 0 ? undefined : Buffer.from(lines.join(''))
  }

  #written(bytes: number): void {
    this.#chunk = bytes < this.#chunk!.length ? this.#chunk!.subarray(bytes) : undefined
    this.#waiting -= bytes
    this.#pause = soonest
    if (this.#untold === 0 || this.#waiting > mostWaiting / 2) return
    const lines = this.#untold
    this.#untold = 0
    this.#tell(lines, this.#cause)
  }

  #refused(error: unknown): void {
    this.#refusal = systemCode(error)
    this.#timer ??= setTimeout(this.#again, this.#pause)
  }
}

/** A descriptor of stdout that refuses a write with EAGAIN instead of waiting for a reader, where there can be one. */
function openStdout(): { fd: number; mayWait: boolean } {
  const kind = fstatSync(1)
  if (isatty(1)) {
    try {
      // Opened once more, for the flag would hold for everybody on this terminal.
      const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY
      return { fd: openSync('/proc/self/fd/1', flags), mayWait: false }
    } catch {
      return { fd: 1, mayWait: true } // Another user's terminal, after su.
    }
  }
  // Looking at it makes a pipe or a socket non-blocking: uv_pipe_open() of libuv. Node puts the flag back at its end.
  if (kind.isFIFO() || kind.isSocket()) return { fd: process.stdout.fd, mayWait: false }
  return { fd: 1, mayWait: kind.isFile() }
}
