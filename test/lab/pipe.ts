import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { scratchFolder } from './scratch.ts'

export interface Reading {
  readonly bytes?: number
  readonly every?: number
  readonly until?: (text: string) => boolean
}

/** A pipe for a process's stdout that is read only when a test says so, and as slowly. It holds 64 KiB: pipe(7). */
export class Pipe {
  /** For `stdio` of the process; `spawned` closes this side of it. */
  readonly writeEnd: number
  /** All that was read. */
  text = ''
  readonly #readEnd: number
  readonly #buffer = Buffer.alloc(65_536)
  #isOver = false

  constructor() {
    const path = join(scratchFolder(), 'pipe')
    execFileSync('mkfifo', [path])
    this.#readEnd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    this.writeEnd = openSync(path, 'w')
  }

  /** To be called once the process has its own copy: it alone holds the pipe open then. */
  spawned(): void {
    closeSync(this.writeEnd)
  }

  /**
   * Reads so many bytes every so many milliseconds, until the text is what is wanted or the other end has closed; rejects
   * when neither comes within a minute.
   */
  async read({ bytes = 65_536, every = 0, until }: Reading = {}): Promise<string> {
    const deadline = Date.now() + 60_000
    while (!this.#isOver && until?.(this.text) !== true) {
      if (Date.now() > deadline)
        throw new Error(`read ${this.text.length} bytes, and not all that was wanted`)
      this.#readOnce(bytes)
      await sleep(every)
    }
    return this.text
  }

  #readOnce(bytes: number): void {
    try {
      const count = readSync(this.#readEnd, this.#buffer, 0, Math.min(bytes, this.#buffer.length), null)
      this.#isOver = count === 0
      this.text += this.#buffer.toString('latin1', 0, count)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
  }
}
