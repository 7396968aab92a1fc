import { mkdirSync, mkdtempSync, realpathSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { EndError, messageOf, systemCode } from '../errors.ts'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Makes a folder of files, all of it or nothing: it is written beside its place and renamed. Files get mode 0600 and
 * folders 0700, whatever the umask. An empty folder may stand there; rename(2) refuses any other. A signal that comes
 * meanwhile has no effect, so that no draft with keys is left behind.
 * @throws EndError `FOLDER` when something is there, or it cannot be written.
 */
export function writeFolder(path: string, files: ReadonlyMap<string, string>): void {
  const folder = resolve(path)
  refuseWorkingFolder(folder, path)
  let draft: string | undefined
  // Nothing below waits, so nothing else of this process is made under this umask.
  const umask = process.umask(0o077)
  for (const signal of signals) process.on(signal, ignore)
  try {
    mkdirSync(dirname(folder), { recursive: true })
    draft = mkdtempSync(join(dirname(folder), `.${basename(folder)}.`))
    for (const [name, content] of files) {
      mkdirSync(dirname(join(draft, name)), { recursive: true })
      writeFileSync(join(draft, name), content, { flag: 'wx' })
    }
    renameSync(draft, folder)
  } catch (error) {
    if (draft !== undefined) rmSync(draft, { recursive: true, force: true })
    throw asEndError(error, path)
  } finally {
    for (const signal of signals) process.off(signal, ignore)
    process.umask(umask)
  }
}

function ignore(): void {}

/** It would be replaced, and the shell that stands in it be left in a folder that is gone. */
function refuseWorkingFolder(folder: string, path: string): void {
  if (realpathSync('.') !== folder && process.cwd() !== folder) return
  throw new EndError('FOLDER', `${path} is the working folder`, {
    fix: 'Name a folder that is not there yet, such as pair',
  })
}

function asEndError(error: unknown, path: string): EndError {
  if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(systemCode(error) ?? ''))
    return new EndError('FOLDER', `${path} is there already, and nothing is overwritten`, {
      fix: 'Name a folder that is not there yet, or move this one away',
      cause: error,
    })
  return new EndError('FOLDER', `${path} cannot be written: ${messageOf(error)}`, {
    fix: 'Name a folder in a place that you may write to',
    cause: error,
  })
}
