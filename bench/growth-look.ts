import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { ids } from './cost.ts'
import type { Ends } from './growth-ends.ts'
import { residentBytes } from './process.ts'

/** Of both processes of one end. */
export interface Idle {
  /** Megabytes resident: the program's and wireguard-go's. */
  readonly memory: { readonly program: number; readonly tunnel: number }
  /** Percent of one processor, of both. */
  readonly cpu: number
}

export interface Sight {
  readonly gateway: Idle
  readonly pod: Idle
}

/** Watches ends without traffic for some seconds, once they have had some milliseconds to come to rest. */
export async function look(
  { gateway, pod }: Ends,
  { seconds, settles }: { seconds: number; settles: number },
): Promise<Sight> {
  await sleep(settles)
  const read = () => [gateway, pod].map(end => busyTime(ids(end.program, end.tunnel)))
  const began = performance.now()
  const before = read()
  await sleep(seconds * 1000)
  const after = read()
  const passed = performance.now() - began
  const [ofGateway, ofPod] = [gateway, pod].map((end, i) => ({
    memory: {
      program: residentBytes(ids(end.program)) / 1e6,
      tunnel: residentBytes(ids(end.tunnel)) / 1e6,
    },
    cpu: (100 * (after[i]! - before[i]!)) / passed,
  }))
  return { gateway: ofGateway!, pod: ofPod! }
}

/**
 * Milliseconds that all threads of processes have run, to the nanosecond: an idle end uses less than a tick of 10 ms in a
 * second. What threads that have ended had used is missing, and such there are none in an idle end.
 */
function busyTime(pids: readonly number[]): number {
  const nanoseconds = pids.flatMap(pid =>
    readdirSync(`/proc/${pid}/task`).map(task =>
      Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]),
    ),
  )
  return nanoseconds.reduce((sum, time) => sum + time, 0) / 1e6
}
