import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import { type FileText, readText } from './file.ts'
import { type Loaded, type LoadOptions, loadConfig } from './load.ts'

/** Characters of all files together that are judged in this thread: a tenth of a second of it at the very most. */
const mostHere = 32 * 1024

/** Milliseconds; the greatest config that there can be takes about one second. */
const longest = 60_000

/** MiB of the thread's heap; half of it is enough for the costliest file that is read at all. */
const mostMemory = 512

/** The same file as source and as built: each lies beside this one. */
const script = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)

class TooLarge extends Error {}

/** What the thread is given. */
export interface Task {
  readonly options: LoadOptions
  /** What was read already, a pipe's text among it. */
  readonly read: ReadonlyMap<string, FileText>
}

/**
 * `loadConfig`, without holding up the connections of an end that runs. A config of more than a few forwards is judged in
 * a thread of its own: what a package does with a text cannot be cut into slices, and the memory that it took is given
 * back with the thread.
 * @param pipes whether files may be pipes, as for `readText`.
 */
export async function loadAside(
  options: LoadOptions,
  { pipes = false }: { readonly pipes?: boolean } = {},
): Promise<Loaded> {
  const read = new Map<string, FileText>()
  let length = 0
  const readHere = async (path: string): Promise<FileText> => {
    const content = await readText(path, { pipes })
    read.set(path, content)
    length += content.text?.length ?? 0
    if (length > mostHere) throw new TooLarge()
    return content
  }
  try {
    return await loadConfig(options, undefined, readHere)
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error
    return inThread({ options, read })
  }
}

async function inThread(task: Task): Promise<Loaded> {
  const resourceLimits = { maxOldGenerationSizeMb: mostMemory }
  const worker = new Worker(script, { workerData: task, resourceLimits })
  const { promise, resolve, reject } = Promise.withResolvers<Loaded>()
  const timer = setTimeout(() => reject(new Error(`it took more than ${longest / 1000} s`)), longest)
  worker.once('message', resolve)
  worker.once('error', reject)
  try {
    return await promise
  } catch (error) {
    return refusal(task.options.configFile, messageOf(error))
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}

function refusal(file: string, why: string): Loaded {
  const message = `cannot be read: ${why}; make it smaller`
  return {
    config: undefined,
    issues: [{ severity: 'error', file, line: 0, column: 0, message }],
    more: { error: 0, warning: 0 },
    files: new Map(),
  }
}
