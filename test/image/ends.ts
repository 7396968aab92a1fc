import { type Topology, wgConf } from '../e2e/topology.ts'
import { endFolder } from '../lab/end.ts'
import { Container, hardened, tag } from './container.ts'

/** How a container is attached: to its host's own network, or to a bridge with published ports. */
export const forms = {
  host: ['--network', 'host', '--cap-add', 'NET_BIND_SERVICE'],
  bridge: [
    ...['--sysctl', 'net.ipv4.ip_unprivileged_port_start=0'],
    ...['--publish', '80:80', '--publish', '51820:51820/udp'],
  ],
} as const

/** One end in a container, with the flags that the documents give. `config` is YAML without `tunnel`. */
export async function startContainer(
  world: Topology,
  end: 'gateway' | 'cluster',
  config: string,
  flags: readonly string[] = forms.host,
): Promise<Container> {
  const folder = await endFolder(world.lab, end, {
    config: `tunnel: { wgConf: wg0.conf }\n${config}`,
    wgConf: wgConf(world, end),
  })
  const mounted = flags.some(flag => flag.includes('/var/run/wireguard'))
  return new Container(world[end], [
    ...hardened,
    ...['--volume', `${folder}:/etc/wg-punchhole:ro`],
    ...(mounted ? [] : ['--tmpfs', '/var/run/wireguard']),
    ...flags,
    tag,
  ])
}

/** The known set-up: port 80 of the gateway ends at the cluster's nginx. */
export const http = {
  gateway: 'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }',
  cluster: 'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }',
}
