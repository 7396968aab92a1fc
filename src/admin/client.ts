import { readdir, rm } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { formatHostPort } from '../address.ts'
import { EndError, messageOf, systemCode } from '../errors.ts'
import { inTurn, withOwnFile } from '../files/file-turns.ts'
import { replaceFile } from '../files/replace-file.ts'
import { readSmallFile } from '../files/small-file.ts'

// An import would read all that it exports, WebSocket among it, which takes time and memory.
const { get } = process.getBuiltinModule('node:http')

/** How a command finds the running end and asks it. Runs every few seconds as a probe: loads nothing but node: modules. */

const defaultUrl = 'http://127.0.0.1:9586'

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

/**
 * The URL of the one end that runs here. A single file is believed as it is; of several, those whose process lives.
 * @throws EndError UNREACHABLE when several run
 */
export async function findUrl(folder: string): Promise<string> {
  const found = await readRunFiles(folder)
  const candidates = found.length > 1 ? found.filter(({ pid }) => isAlive(pid)) : found
  if (candidates.length > 1)
    throw new EndError(
      'UNREACHABLE',
      `several ends run here: ${candidates.map(({ name, url }) => `${name} at ${url}`).join(', ')}`,
      { fix: 'Say which one with --url' },
    )
  return candidates[0]?.url ?? defaultUrl
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

/** EPERM says that the process lives, and is another user's. */
function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
}

/**
 * Asks for one path; any HTTP status is an answer.
 * @throws EndError UNREACHABLE
 */
export async function ask(
  url: string,
  path: string,
  timeoutMs: number,
): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(timeoutMs)
  try {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
    get(new URL(path, url), { agent: false, signal }, response => {
      text(response).then(body => resolve({ status: response.statusCode!, body }), reject)
    }).on('error', reject)
    return await promise
  } catch (cause) {
    const why = signal.aborted ? `no answer within ${timeoutMs} ms` : (systemCode(cause) ?? messageOf(cause))
    throw new EndError('UNREACHABLE', `cannot reach ${url}: ${why}`, {
      fix: 'Is the end running (wg-punchhole run)? If it listens elsewhere, say where with --url',
      cause,
    })
  }
}
