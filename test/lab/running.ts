import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

/** A process with its output, line by line. */
export class Running {
  readonly child: ChildProcess
  /** stdout and stderr, as they came. */
  readonly lines: string[] = []
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  #wake = Promise.withResolvers<void>()
  #over = false

  constructor(child: ChildProcess) {
    this.child = child
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null) createInterface({ input: stream }).on('line', line => this.#add(line))
    this.exited = once(child, 'close').then(([code, signal]) => {
      this.#over = true
      this.#add(undefined)
      return { code, signal }
    })
  }

  get pid(): number {
    return this.child.pid!
  }

  get output(): string {
    return this.lines.join('\n')
  }

  /** The log lines that are JSON. */
  get log(): Record<string, unknown>[] {
    return this.lines.flatMap(line => {
      try {
        return line.startsWith('{') ? [JSON.parse(line)] : []
      } catch {
        return []
      }
    })
  }

  /** The first log line, from number `from` on, that `wanted` accepts; rejects with all output when the process ends or `ms` pass first. */
  async logged(
    wanted: (line: Record<string, unknown>) => boolean,
    { ms = 20_000, from = 0 } = {},
  ): Promise<Record<string, unknown>> {
    const deadline = Date.now() + ms
    for (;;) {
      const found = this.log.slice(from).find(wanted)
      if (found !== undefined) return found
      if (this.#over || Date.now() > deadline)
        throw new Error(
          `${this.#over ? 'the process ended' : `not logged within ${ms} ms`}: ${wanted}\n${this.output}`,
        )
      let timer: NodeJS.Timeout | undefined
      await Promise.race([
        this.#wake.promise,
        new Promise(resolve => (timer = setTimeout(resolve, deadline - Date.now() + 1))),
      ])
      clearTimeout(timer)
    }
  }

  /**
   * Sends a signal unless it has ended, a second one after a second, for an end that drains, and at last SIGKILL; waits
   * for the end.
   */
  async stop(signal: NodeJS.Signals = 'SIGTERM', ms = 10_000): Promise<void> {
    if (!this.#over) this.child.kill(signal)
    const again = setTimeout(() => this.child.kill(signal), 1000)
    const last = setTimeout(() => this.child.kill('SIGKILL'), ms)
    await this.exited
    clearTimeout(again)
    clearTimeout(last)
  }

  #add(line: string | undefined): void {
    if (line !== undefined) this.lines.push(line)
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }
}
