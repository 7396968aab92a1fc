import { allProcesses, type MachineTime, machineTime, type Process } from './process.ts'

/** Whether something else ran during a measurement: what was taken from it would be counted as the contender's slowness. */

/** Of one processor, on average: what is used by processes that are not the benchmark's. */
const mostForeign = 0.03
/** Of all processors: what the hypervisor takes. */
const mostSteal = 0.01

/** What had been used by a moment, in milliseconds. */
export interface Sighting {
  readonly at: number
  readonly foreign: number
  readonly machine: MachineTime
}

export function sight(): Sighting {
  const foreign = foreignTime(allProcesses(), process.pid)
  return { at: performance.now(), foreign, machine: machineTime() }
}

/**
 * CPU of all processes but `own`, what it started, and the kernel's threads, which work for what is measured. Ended
 * processes are in their parents' times, so that the difference of two sums is what was used between them, whoever came and
 * went meanwhile.
 */
export function foreignTime(all: readonly Process[], own: number): number {
  const parents = new Map(all.map(({ pid, parent }) => [pid, parent]))
  const belongsTo = (pid: number, ancestor: number): boolean => {
    for (let at: number | undefined = pid; at !== undefined && at !== 0; at = parents.get(at))
      if (at === ancestor) return true
    return false
  }
  return all
    .filter(({ pid }) => !belongsTo(pid, own) && !belongsTo(pid, kernelThreads))
    .reduce((sum, { user, system, ended }) => sum + user + system + ended, 0)
}

/** The parent of them all. */
const kernelThreads = 2

/** What ran beside the measurement between two moments; undefined when it was next to nothing. */
export function disturbance(before: Sighting, after: Sighting): string | undefined {
  const duration = after.at - before.at
  const foreign = (after.foreign - before.foreign) / duration
  if (foreign > mostForeign) return `other processes used ${foreign.toFixed(2)} of a processor`
  const steal = (after.machine.steal - before.machine.steal) / duration / after.machine.processors
  if (steal > mostSteal) return `the hypervisor took ${(steal * 100).toFixed(1)} % of the processors`
  return undefined
}
