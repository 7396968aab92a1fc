/** What arrives for a stream before it has a local socket. */
export class Held {
  /** Is told each part; it must not keep it. */
  told: ((part: Buffer) => void) | undefined
  #parts: Buffer[] | undefined

  /** @param part refers to the link's read buffer. */
  keep(part: Buffer): void {
    const copy = Buffer.from(part)
    if (this.#parts === undefined) this.#parts = [copy]
    else this.#parts.push(copy)
    this.told?.(part)
  }

  /** All of it in one piece, behind `first`; `undefined` when there is nothing. */
  take(first: Buffer | undefined): Buffer | undefined {
    const parts = this.#parts
    this.#parts = undefined
    this.told = undefined
    if (parts === undefined) return first
    if (first === undefined && parts.length === 1) return parts[0]
    return Buffer.concat(first === undefined ? parts : [first, ...parts])
  }
}
