import { fstatSync, writeFileSync } from 'node:fs'
import { isatty } from 'node:tty'
import { EndError, messageOf, systemCode } from './errors.ts'

/**
 * The output of a command on stdout. A slow reader gets all of it, for the program ends only then; one that has gone
 * (`| head -1`) is no failure.
 * @throws EndError OUTPUT for a full disk
 */
export function print(text: string): void {
  if (hasReader()) {
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

/** Lets a reader go; to be called before the first word. */
export function bearClosedReaders(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', error => {
      if (systemCode(error) === 'EPIPE') return
      process.exitCode = 1
      if (stream === process.stdout)
        process.stderr.write(`wg-punchhole: cannot write to stdout: ${messageOf(error)}\n`)
    })
}

function hasReader(): boolean {
  const kind = fstatSync(1)
  return kind.isFIFO() || kind.isSocket() || isatty(1)
}
