import { fstatSync, writeFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import { EndError, messageOf, systemCode } from '../errors.ts'

let isReaderGone = false

/** Whether whoever read stdout has gone, as `| head -1` does: no failure, and the end of what prints again and again. */
export function readerGone(): boolean {
  return isReaderGone
}

/**
 * The output of a command on stdout. A slow reader gets all of it, for the program ends only then.
 * @throws EndError OUTPUT for a full disk
 */
export function print(text: string): void {
  if (canBeRead()) {
    process.stdout.write(text)
    return
  }
  try {
    // process.stdout would take a part of it for the whole where a disk becomes full.
    writeFileSync(1, text)
  } catch (cause) {
    throw new EndError('OUTPUT', `cannot write to stdout: ${messageOf(cause)}`, { cause })
  }
}

/** Without it a reader that goes is an exception. To be called before the first word. */
export function bearClosedReaders(): void {
  process.stdout.on('error', error => {
    isReaderGone = true
    if (systemCode(error) === 'EPIPE') return
    process.exitCode = 1
    process.stderr.write(`wg-punchhole: cannot write to stdout: ${messageOf(error)}\n`)
  })
  // There is nowhere to say it, and the exit status tells how the command went.
  process.stderr.on('error', () => {})
}

function canBeRead(): boolean {
  const kind = fstatSync(1)
  return kind.isFIFO() || kind.isSocket() || isatty(1)
}
