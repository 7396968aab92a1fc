import { join } from 'node:path'
import type { Test } from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { command, startEnd } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { ready, startByHand, startNginx, startOurs, type Topology, topology } from './topology.ts'

/** One direction of the way between two ends, cut by a firewall, and what each end says of it. */

export type End = 'gateway' | 'cluster'

const url = 'http://127.0.0.1:9586'

const forwards = {
  gateway: 'forwards:\n  http: { listen: ":80", target: "10.1.10.2:80" }\n',
  cluster: 'forwards:\n  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }\n',
}
const haproxy = {
  gateway: 'listen http\n  bind :::80 v4v6\n  server clustervpn 10.1.10.2:80 send-proxy-v2\n',
  cluster: 'listen http\n  bind 10.1.10.2:80 accept-proxy\n  server web 127.0.0.1:8080 send-proxy-v2\n',
}
export const ends = ['gateway', 'cluster'] as const

export interface Started {
  readonly world: Topology
  /** Those that are ours. */
  readonly running: Partial<Record<End, Running>>
}

/** Two ends, one of them set up by hand if so wanted. `more` is added to both configs. */
export async function start(
  t: Test,
  options: { presharedKey?: string; byHand?: End; more?: string } = {},
): Promise<Started> {
  const { presharedKey, byHand, more = '' } = options
  const world = await topology(presharedKey === undefined ? {} : { presharedKey })
  t.teardown(() => world.lab.close())
  await startNginx(world)
  const running: Partial<Record<End, Running>> = {}
  for (const end of ends)
    if (end === byHand) await startByHand(world, end, haproxy[end])
    else running[end] = await startOurs(world, end, forwards[end] + more)
  await ready(...Object.values(running))
  return { world, running }
}

/** Stops these ends, and then starts them again. */
export async function restart({ world, running }: Started, which: readonly End[]): Promise<void> {
  await Promise.all(which.map(end => running[end]!.stop()))
  for (const end of which) startEnd(world[end], join(world.lab.folder, end))
}

/** A client asks again and again, so that there is data to send, until the test is over. */
export function traffic(t: Test, world: Topology): void {
  const asking = world.client.start('bash', [
    '-c',
    'while true; do curl -s -o /dev/null --max-time 2 http://203.0.113.1/; sleep 0.5; done',
  ])
  t.teardown(() => asking.stop('SIGKILL'))
}

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
