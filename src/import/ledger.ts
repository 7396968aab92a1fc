/** One sentence about a line of the file: what was found; what to do. */
export interface Finding {
  readonly severity: 'error' | 'warning'
  /** From 1; 0 for the file as a whole. */
  readonly line: number
  readonly message: string
}

/**
 * What became of each line, so that none is lost without a word: it is carried over, left out with a reason, or an
 * error.
 */
export class Ledger {
  readonly #findings = new Map<string, Finding>()
  readonly #leftOut = new Map<number, string>()
  #hasGaps = false
  #errors = 0

  error(line: number, message: string): void {
    this.#add({ severity: 'error', line, message })
  }

  warn(line: number, message: string): void {
    this.#add({ severity: 'warning', line, message })
  }

  /** An error about something that is not there. Where lines were not read it may be in those, so it is none. */
  missing(line: number, message: string): void {
    if (!this.#hasGaps) this.error(line, message)
  }

  /** Lines are not read, and an error says so. */
  gap(line: number, message: string): void {
    this.error(line, message)
    this.#hasGaps = true
  }

  /** @param reason why the forwards do without it. The first one given is kept. */
  leaveOut(line: number, reason: string): void {
    if (!this.#leftOut.has(line)) this.#leftOut.set(line, reason)
  }

  /** In the order of the file, each once: two forwards may meet the same line. */
  get findings(): Finding[] {
    return [...this.#findings.values()].sort((a, b) => a.line - b.line)
  }

  get leftOut(): ReadonlyMap<number, string> {
    return this.#leftOut
  }

  /** How many errors there are so far. */
  get errors(): number {
    return this.#errors
  }

  get hasErrors(): boolean {
    return this.errors > 0
  }

  #add(finding: Finding): void {
    const key = `${finding.line} ${finding.message}`
    if (this.#findings.has(key)) return
    this.#findings.set(key, finding)
    if (finding.severity === 'error') this.#errors++
  }
}
