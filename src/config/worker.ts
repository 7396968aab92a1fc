import { parentPort, workerData } from 'node:worker_threads'
import { loadConfig } from './load.ts'

/** What runs in the thread of load-aside.ts: one config, judged. */
parentPort!.postMessage(await loadConfig(workerData))
