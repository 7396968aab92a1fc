import { extname, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import { digestOf, type FileText, readText } from './file.ts'
import { readHost } from './host.ts'
import { type Loaded, type LoadOptions, loadConfig } from './load.ts'

export interface Bounds {
  /** Characters of all files together that are judged in this thread. */
  readonly here: number
  /** Milliseconds. */
  readonly time: number
  /** MiB of the thread's heap. */
  readonly memory: number
}

/**
 * A tenth of a second of this thread at the very most. The costliest config that is read at all takes about one second
 * of the other one, and half of its memory.
 */
const bounds: Bounds = { here: 32 * 1024, time: 60_000, memory: 512 }

/** The same file as source and as built: each lies beside this one. */
const script = new URL(`./worker${extname(import.meta.url)}`, import.meta.url)

class TooLarge extends Error {}

/**
 * `loadConfig`, without holding up the connections of an end that runs. A config of more than a few forwards is read and
 * judged in a thread of its own: what a package does with a text cannot be cut into slices, and the memory that it took
 * is given back with the thread.
 */
export async function loadAside(options: LoadOptions, { here, ...rest } = bounds): Promise<Loaded> {
  let length = 0
  const files = new Map<string, string>()
  const readHere = async (path: string): Promise<FileText> => {
    const content = await readText(path)
    files.set(resolve(path), digestOf(content))
    length += content.text?.length ?? 0
    if (length > here) throw new TooLarge()
    return content
  }
  try {
    return await loadConfig(options, readHost(), readHere)
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error
    return inThread(options, rest, files)
  }
}

/** @param files that were read until now: with these a config is tried again that cannot be read as a whole. */
async function inThread(
  options: LoadOptions,
  { time, memory }: Omit<Bounds, 'here'>,
  files: Loaded['files'],
): Promise<Loaded> {
  const resourceLimits = { maxOldGenerationSizeMb: memory }
  const worker = new Worker(script, { workerData: options, resourceLimits })
  const { promise, ...settle } = Promise.withResolvers<Loaded>()
  const timer = setTimeout(() => settle.reject(new Error(`it took more than ${time / 1000} s`)), time)
  worker.once('message', settle.resolve)
  worker.once('error', settle.reject)
  try {
    return await promise
  } catch (error) {
    return { ...refusal(options.configFile, messageOf(error)), files }
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}

function refusal(file: string, why: string): Omit<Loaded, 'files'> {
  const message = `cannot be read: ${why}; make it smaller`
  return {
    config: undefined,
    issues: [{ severity: 'error', file, line: 0, column: 0, message }],
    more: { error: 0, warning: 0 },
  }
}
