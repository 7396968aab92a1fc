import { readdir, rm } from 'node:fs/promises'
import { formatHostPort } from '../address.ts'
import { EndError, messageOf } from '../errors.ts'
import { inTurn, withOwnFile } from '../files/file-turns.ts'
import { replaceFile } from '../files/replace-file.ts'
import { readSmallFile } from '../files/small-file.ts'

/** How a running end tells the commands of its host where it is to be asked. */

const suffix = '.admin.json'

/** The content of NAME.admin.json, which a running end keeps beside its UAPI socket. */
export interface RunFile {
  readonly url: string
  readonly pid: number
}

/** Where an end that listens on this host is asked; for all addresses (empty, 0.0.0.0, ::) that is 127.0.0.1. */
export function adminUrl(host: string, port: number): string {
  return `http://${formatHostPort(['', '0.0.0.0', '::'].includes(host) ? '127.0.0.1' : host, port)}`
}

/**
 * Readable by everyone: there is no secret in it, and a HEALTHCHECK may run as another user.
 * @throws EndError RUN_FOLDER
 */
export async function writeRunFile(folder: string, name: string, { url, pid }: RunFile): Promise<void> {
  const file = `${folder}/${name}${suffix}`
  try {
    await withOwnFile(file, () => replaceFile(file, `${JSON.stringify({ url, pid })}\n`, 0o644))
  } catch (cause) {
    throw new EndError('RUN_FOLDER', `cannot write ${file}: ${messageOf(cause)}`, {
      fix: `Make ${folder} a writable folder; until then health and status need --url`,
      cause,
    })
  }
}

/** Never rejects: with one that stays behind, `health` asks in vain where nobody answers. */
export async function removeRunFile(folder: string, name: string): Promise<void> {
  const file = `${folder}/${name}${suffix}`
  await withOwnFile(file, () => rm(file, { force: true })).catch(() => {})
}

export async function readRunFiles(folder: string): Promise<(RunFile & { readonly name: string })[]> {
  const names = await inTurn(folder, () => readdir(folder)).catch(() => [])
  const files = names.filter(file => file.endsWith(suffix)).sort()
  const contents = await Promise.all(
    files.map(file =>
      readSmallFile(`${folder}/${file}`)
        .then(({ text }) => text)
        .catch(() => ''),
    ),
  )
  return contents.flatMap((content, i) => {
    const runFile = parseRunFile(content)
    return runFile === undefined ? [] : [{ name: files[i]!.slice(0, -suffix.length), ...runFile }]
  })
}

/** `undefined` for what is not ours to understand: another version's, or damaged. */
function parseRunFile(content: string): RunFile | undefined {
  try {
    const { url, pid } = JSON.parse(content)
    return URL.canParse(url) && Number.isInteger(pid) && pid > 0 ? { url, pid } : undefined
  } catch {
    return undefined
  }
}
