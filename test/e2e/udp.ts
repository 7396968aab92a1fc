import { join } from 'node:path'
import type { EndStatus } from '../../src/admin/status.ts'
import type { Running } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'
import { ready, startOurs, type Topology, topology } from './topology.ts'
import { hex, talk, text } from './udp-client.ts'

/**
 * Both ends, and behind the cluster end a receiver of the tests' own for each form (test/fixtures/udp-receiver.ts). The gateway's
 * and the cluster's forward of a form, and its receiver, have these ports; the receiver on the cluster's 127.0.0.1.
 */
export const ports = {
  bare: 5301,
  'v2-every': 5302,
  'v2-first': 5303,
  'v2-alone': 5304,
  spp: 5305,
} as const
export type Form = keyof typeof ports
export const forms = Object.keys(ports) as Form[]

export interface UdpWorld extends Topology {
  readonly ends: Record<'gateway' | 'cluster', Running>
  /** Starts an end again that has ended. */
  start(end: 'gateway' | 'cluster'): Promise<Running>
  /** All of them, one process. */
  readonly receivers: Running
}

/**
 * @param forwards more of them beside those of the forms, for each end
 * @param endpoint the gateway's, as the cluster end knows it
 * @param lay what is there before the ends are
 */
export async function udpWorld(
  forwards = { gateway: '', cluster: '' },
  endpoint?: string,
  lay: (world: Topology) => Promise<void> = async () => {},
): Promise<UdpWorld> {
  const world = await topology()
  try {
    const start = (end: 'gateway' | 'cluster') => {
      const ofForms = forms.map(form =>
        end === 'gateway'
          ? `  ${form}: { protocol: udp, listen: ":${ports[form]}", target: "10.1.10.2:${ports[form]}" }\n`
          : `  ${form}: { protocol: udp, listen: "tunnel:${ports[form]}", target: "127.0.0.1:${ports[form]}", sendProxy: ${form === 'bare' ? false : form} }\n`,
      )
      return startOurs(world, end, `forwards:\n${ofForms.join('')}${forwards[end]}`, {}, endpoint)
    }
    const program = join(import.meta.dirname, '../fixtures/udp-receiver.ts')
    const services = forms.map(form => `${form}:${ports[form]}`)
    const receivers = world.cluster.start(process.execPath, [program, '127.0.0.1', ...services], {
      env: { NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
    })
    await lay(world)
    const [gateway, cluster] = await Promise.all([start('gateway'), start('cluster')])
    await ready(gateway, cluster)
    for (const form of forms) await receivers.logged(line => line.msg === 'receives' && line.form === form)
    // The first datagram through a new tunnel waits for its handshake.
    await retry(async () => {
      const { replies } = await talk(world.client, {
        host: '203.0.113.1',
        port: ports.bare,
        payloads: [hex('x')],
      })
      if (replies.length === 0) throw new Error('nothing comes through')
    })
    return { ...world, ends: { gateway, cluster }, start, receivers }
  } catch (error) {
    await world.lab.close()
    throw error
  }
}

/** What a receiver of the tests' own says of a payload. */
export function saidOf(reply: string): {
  client: string
  port: number
  sender: number
  bytes: number
  digest: string
} {
  const [client = '', port, sender, bytes, digest = ''] = text(reply).split(' ')
  return { client, port: Number(port), sender: Number(sender), bytes: Number(bytes), digest }
}

/** What an end says of one of its forwards. */
export async function forwardOf(
  world: Topology,
  end: 'gateway' | 'cluster',
  name: string,
): Promise<EndStatus['forwards'][number]> {
  const { forwards } = JSON.parse(
    await world[end].exec('curl', '-s', 'http://127.0.0.1:9586/status.json'),
  ) as EndStatus
  return forwards.find(forward => forward.name === name)!
}
