import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

let root: string | undefined

/** A new empty folder, gone with the process. Its path is short, for a socket's has at most 107 characters: unix(7). */
export function scratchFolder(): string {
  if (root === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'wgp-'))
    process.once('exit', () => rmSync(made, { recursive: true, force: true }))
    root = made
  }
  return mkdtempSync(`${root}/`)
}
