import { text } from 'node:stream/consumers'
import { EndError, messageOf, systemCode } from '../errors.ts'
import { readRunFiles } from './run-file.ts'

// An import would read all that it exports, WebSocket among it, which takes time and memory.
const { get } = process.getBuiltinModule('node:http')

/** How a command finds the running end and asks it. Runs every few seconds as a probe: loads nothing but node: modules. */

const defaultUrl = 'http://127.0.0.1:9586'

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
