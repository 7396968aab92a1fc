import { parentPort, workerData } from 'node:worker_threads'
import { readText } from './file.ts'
import { loadConfig } from './load.ts'
import type { Task } from './load-aside.ts'

/** What runs in the thread of load-aside.ts: one config, judged. */
const { options, read } = workerData as Task
parentPort!.postMessage(await loadConfig(options, undefined, async path => read.get(path) ?? readText(path)))
