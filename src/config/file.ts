import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { messageOf, systemCode } from '../errors.ts'
import { FileHangs, inTurn } from '../files/file-turns.ts'
import { NotReadable, readSmallFile } from '../files/small-file.ts'

/** A file of the config as text, or why it could not be read, with what to do about it. */
export type FileText =
  | {
      readonly text: string
      readonly worldReadable: boolean
      /** Nobody can read it again. */
      readonly isPipe?: boolean
      readonly reason?: never
    }
  | { readonly text?: never; readonly isPipe?: never; readonly reason: string }

/** @param options.pipes whether a pipe will do: for what is read once. */
export async function readText(path: string, options: { readonly pipes?: boolean } = {}): Promise<FileText> {
  try {
    const { text, mode, isPipe } = await readSmallFile(path, options)
    return { text, worldReadable: !isPipe && (mode & 0o004) !== 0, isPipe }
  } catch (error) {
    if (error instanceof NotReadable || error instanceof FileHangs) return { reason: error.message }
    return { reason: systemCode(error) === 'EISDIR' ? await folderReason(path) : reasonOf(path, error) }
  }
}

/** Tells contents apart, unreadable ones among them, without keeping them: there are keys in these files. */
export function digestOf({ text, reason }: FileText): string {
  return createHash('sha256')
    .update(text ?? `unreadable: ${reason}`)
    .digest('base64')
}

/** The warning for a file with a key that everyone may read. */
export function worldReadable(path: string): string {
  return `found a file with a key in it that everyone on this host may read; run chmod 600 ${path} (in Kubernetes: defaultMode: 0400)`
}

/** Docker makes a folder where the source of a mount is missing, and Kubernetes where that of a subPath is. */
async function folderReason(path: string): Promise<string> {
  const names = await inTurn(path, () => readdir(path)).catch(() => [])
  return names.length > 0
    ? `${path} is a folder; name a file in it`
    : `${path} is an empty folder, as it is made in place of a file to mount that does not exist; make the file there where it is mounted from (docker: on the host, instead of the folder that is there now; Kubernetes: in the Secret or ConfigMap), then make the container anew`
}

function reasonOf(path: string, error: unknown): string {
  switch (systemCode(error)) {
    case 'ENOENT':
      return `${path} does not exist; make it or correct the path`
    case 'EACCES':
      return process.getuid?.() === 0
        ? `${path} may not be read: without CAP_DAC_OVERRIDE uid 0 reads only root's files; run chown 0:0 ${path} (and its folder)`
        : `${path} may not be read by uid ${process.getuid?.()}; run chown ${process.getuid?.()} ${path}, or run this program as its owner`
    default:
      return `${path} cannot be read: ${messageOf(error)}; correct the path`
  }
}
