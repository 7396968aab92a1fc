import { join } from 'node:path'
import type { EndStatus } from '../../src/admin/status.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { command } from '../lab/end.ts'
import type { Topology } from './topology.ts'

/** One direction of the way between two ends, cut by a firewall, and what each end says of it. */

export type End = 'gateway' | 'cluster'

const url = 'http://127.0.0.1:9586'

/** From now on an end gets nothing from the other one's WireGuard. Resolves to the way back. */
export async function deafen(world: Topology, end: End): Promise<() => Promise<void>> {
  const port = end === 'gateway' ? '--dport' : '--sport'
  const rule = ['INPUT', '-p', 'udp', port, '51820', '-j', 'DROP']
  await world[end].exec('iptables', '-I', ...rule)
  return async () => void (await world[end].exec('iptables', '-D', ...rule))
}

/** What an admin path answers. */
export async function asked(world: Topology, end: End, path: string): Promise<string> {
  return world[end].exec('curl', '-s', `${url}${path}`)
}

export async function statusOf(world: Topology, end: End): Promise<EndStatus> {
  return JSON.parse(await asked(world, end, '/status.json'))
}

/** Waits until the status of an end is so, at most a given time (ms). Resolves to it and to how long it took. */
export async function becomes(
  world: Topology,
  end: End,
  isSo: (status: EndStatus) => boolean,
  within = 120_000,
): Promise<{ status: EndStatus; took: number }> {
  const began = performance.now()
  for (;;) {
    // One that has just been started does not answer yet.
    const status = await statusOf(world, end).catch(() => undefined)
    const took = performance.now() - began
    if (status !== undefined && isSo(status)) return { status, took }
    if (took > within) throw new Error(`${end}: not so within ${within} ms: ${JSON.stringify(status)}`)
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

export const has = (code: string) => (status: EndStatus) =>
  status.health.reasons.some(reason => reason.code === code)

export const isReady = ({ health }: EndStatus) => health.status === 'ready'

/** Whether the peer has answered probes. */
export const isProbed = ({ tunnel }: EndStatus) => tunnel!.peers.every(({ path }) => path.answersProbes)

export async function doctorOf(world: Topology, end: End, ...args: string[]): Promise<Finding[]> {
  const config = join(world.lab.folder, end, 'config.yaml')
  return JSON.parse((await command(world[end], 'doctor', '--json', '--config', config, ...args)).output)
}
