import type { Trial } from './contender.ts'
import type { Values } from './metric.ts'
import { machineTime, type Work, workOf } from './process.ts'

/** What was used, in milliseconds. */
export interface Cost {
  readonly gateway: Work
  readonly pod: Work
  readonly tunnel: Work
  /** Of all processors, interrupts included. */
  readonly machine: number
}

/** Runs it, and tells the CPU that each part and the whole machine used meanwhile. */
export async function costed<T>(
  { started }: Trial,
  run: () => Promise<T>,
): Promise<{ result: T; cost: Cost }> {
  const { gateway, pod } = started
  const read = () => ({
    parts: [ids(gateway.program), ids(pod.program), ids(gateway.tunnel, pod.tunnel)].map(workOf),
    now: performance.now(),
    machine: machineTime(),
  })
  const before = read()
  const result = await run()
  const after = read()
  const [atGateway, atPod, inTunnel] = after.parts.map((work, part) => difference(work, before.parts[part]!))
  const { idle, steal, processors } = after.machine
  const unused = idle - before.machine.idle + steal - before.machine.steal
  const machine = (after.now - before.now) * processors - unused
  return { result, cost: { gateway: atGateway!, pod: atPod!, tunnel: inTunnel!, machine } }
}

function difference(after: Work, before: Work): Work {
  return {
    run: after.run - before.run,
    wait: after.wait - before.wait,
    user: after.user - before.user,
    system: after.system - before.system,
  }
}

/** Of next to nothing, a megabyte or one request, there is no number: the machine's ticks of 10 ms would be all of it. */
export function per({ machine, ...parts }: Cost, units: number): Values {
  if (units <= 1e-3) return {}
  const values: Values = { 'cpu.machine': machine / units }
  for (const [part, work] of Object.entries(parts)) {
    values[`cpu.${part}`] = work.run / units
    for (const kind of ['user', 'system', 'wait'] as const) values[`${kind}.${part}`] = work[kind] / units
  }
  return values
}

/** Those that are there. */
export function ids(...maybe: (number | undefined)[]): number[] {
  return maybe.filter(pid => pid !== undefined)
}
