import type { Trial } from './contender.ts'
import type { Values } from './metric.ts'
import { cpuTime, machineTime } from './process.ts'

/** Milliseconds. */
export interface Cpu {
  readonly gateway: number
  readonly pod: number
  readonly tunnel: number
  readonly machine: number
}

/** Runs it, and tells the CPU that each part and the whole machine used meanwhile. */
export async function costed<T>({ started }: Trial, run: () => Promise<T>): Promise<{ result: T; cpu: Cpu }> {
  const { gateway, pod } = started
  const read = () => [
    cpuTime(ids(gateway.program)),
    cpuTime(ids(pod.program)),
    cpuTime(ids(gateway.tunnel, pod.tunnel)),
    machineTime(),
  ]
  const before = read()
  const result = await run()
  const used = read().map((after, part) => after - before[part]!)
  return { result, cpu: { gateway: used[0]!, pod: used[1]!, tunnel: used[2]!, machine: used[3]! } }
}

/** Of next to nothing, a megabyte or one request, there is no number: ticks of 10 ms would be all of it. */
export function per(cpu: Cpu, units: number): Values {
  if (units <= 1e-3) return {}
  return Object.fromEntries(Object.entries(cpu).map(([part, used]) => [`cpu.${part}`, used / units]))
}

/** Those that are there. */
export function ids(...maybe: (number | undefined)[]): number[] {
  return maybe.filter(pid => pid !== undefined)
}
