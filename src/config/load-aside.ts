import { extname, resolve } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../errors.ts'
import { memoryLimit } from '../process/memory-limit.ts'
import { digestOf, type FileText, readText } from './file.ts'
import { type Loaded, type LoadOptions, loadConfig } from './load.ts'

export interface AsideOptions {
  /** Whether files may be pipes, as for `readText`. */
  readonly pipes?: boolean
  /** Characters of all files together that are judged in this thread. */
  readonly here?: number
  /** Milliseconds that the other one may take, and MiB of its heap. */
  readonly time?: number
  readonly memory?: number
}

/** A tenth of a second of this thread at the very most. */
const usual = 32 * 1024
/**
 * The costliest config that is read at all takes about one second of the other thread and 96 MiB of its heap, one of 4096
 * forwards 64 MiB. Of a container's limit it gets a third: with more the kernel would end the whole program.
 */
const longest = 60_000
const mostMemory = 512
const share = 1 / 3

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
 */
export async function loadAside(
  options: LoadOptions,
  { pipes = false, here = usual, time = longest, memory }: AsideOptions = {},
): Promise<Loaded> {
  const read = new Map<string, FileText>()
  let length = 0
  const readHere = async (path: string): Promise<FileText> => {
    const content = await readText(path, { pipes })
    read.set(path, content)
    length += content.text?.length ?? 0
    if (length > here) throw new TooLarge()
    return content
  }
  try {
    return await loadConfig(options, undefined, readHere)
  } catch (error) {
    if (!(error instanceof TooLarge)) throw error
    return inThread({ options, read }, time, memory ?? heapFor(await memoryLimit()))
  }
}

/** MiB, for a limit in bytes. */
export function heapFor(limit: number | undefined): number {
  return limit === undefined ? mostMemory : Math.min(mostMemory, Math.floor((share * limit) / 2 ** 20))
}

async function inThread(task: Task, time: number, memory: number): Promise<Loaded> {
  const resourceLimits = { maxOldGenerationSizeMb: memory }
  const worker = new Worker(script, { workerData: task, resourceLimits })
  const { promise, ...settle } = Promise.withResolvers<Loaded>()
  const timer = setTimeout(() => settle.reject(new Error(`it took more than ${time / 1000} s`)), time)
  worker.once('message', settle.resolve)
  worker.once('error', settle.reject)
  try {
    return await promise
  } catch (error) {
    return refusal(task, messageOf(error))
  } finally {
    clearTimeout(timer)
    await worker.terminate()
  }
}

/** It is tried again when one of those files changes that were read until now. */
function refusal({ options: { configFile: file }, read }: Task, why: string): Loaded {
  const message = `cannot be read: ${why}; make it smaller`
  return {
    config: undefined,
    issues: [{ severity: 'error', file, line: 0, column: 0, message }],
    more: { error: 0, warning: 0 },
    files: new Map(Array.from(read, ([path, content]) => [resolve(path), digestOf(content)])),
  }
}
