import { setTimeout as sleep } from 'node:timers/promises'
import { ids } from './cost.ts'
import type { Ends } from './growth-ends.ts'
import { residentBytes, workOf } from './process.ts'

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

/**
 * Watches ends without traffic for some seconds, once they have had some milliseconds to come to rest. What threads that
 * have ended had used is missing, and such there are none in an idle end.
 */
export async function look(
  { gateway, pod }: Ends,
  { seconds, settles }: { seconds: number; settles: number },
): Promise<Sight> {
  await sleep(settles)
  const read = () => [gateway, pod].map(end => workOf(ids(end.program, end.tunnel)).run)
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
