import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { port } from './backend.ts'
import type { Contender, Setting } from './contender.ts'
import { floodSources, udpPort } from './datagrams.ts'
import { address, layWireguard, type Network } from './network.ts'
import { binaryOf, tuneTunnel } from './variant.ts'

/** What our ends use too. */
const defaultMtu = 1420

/** Routing through wireguard-go, nothing else: an upper bound, without the PROXY protocol. */
export const rawTunnel: Contender = {
  async start(network, setting) {
    const pids = await tunnel(network, setting, [['203.0.113.0/24'], ['192.0.2.0/24', floodSources]])
    return {
      url: `http://${address.backend}:${port.plain}`,
      udp: `${address.backend}:${udpPort}`,
      gateway: { program: undefined, tunnel: pids.gateway },
      pod: { program: undefined, tunnel: pids.pod },
    }
  },
}

/** HAProxy at both ends of wireguard-go: the set-up that ours replaces, with its best settings. `program` gives which. */
export function haproxy(program: () => string): Contender {
  return {
    async start(network, setting) {
      const pids = await tunnel(network, setting)
      const start = (end: 'gateway' | 'pod', bind: string, target: string) =>
        startHaproxy(network, program(), { end, bind, target })
      const pod = await start('pod', `${address.podTunnel}:80 accept-proxy`, address.backend)
      const gateway = await start('gateway', '0.0.0.0:80', address.podTunnel)
      return {
        url: `http://${address.gateway}`,
        udp: `${address.gateway}:${udpPort}`,
        gateway: { program: gateway, tunnel: pids.gateway },
        pod: { program: pod, tunnel: pids.pod },
      }
    },
  }
}

/** Of a shell: runs a program whose processes end with it, those too that would stay for their minute. */
const endTogether = `trap 'trap - TERM; kill 0' TERM; "$0" "$@" & wait`

/**
 * socat at both ends of wireguard-go: datagrams alone, a process for each client at each end. It makes one socket after the
 * other, forgets a client after a minute of silence, as ours does, and tells nobody who the client is.
 */
export const socat: Contender = {
  async start(network, setting) {
    const pids = await tunnel(network, setting)
    const start = (end: 'gateway' | 'pod', target: string) =>
      network[end].start('setsid', [
        ...['sh', '-c', endTogether, 'socat', '-T', '60'],
        ...[`UDP4-LISTEN:${udpPort},fork,reuseaddr`, `UDP4:${target}:${udpPort}`],
      ])
    start('pod', address.backend)
    start('gateway', address.podTunnel)
    return {
      url: undefined,
      udp: `${address.gateway}:${udpPort}`,
      // Its work is done in processes that come and go.
      gateway: { program: undefined, tunnel: pids.gateway },
      pod: { program: undefined, tunnel: pids.pod },
    }
  },
}

async function tunnel(
  network: Network,
  { variant, congestionControl }: Setting,
  prefixes?: readonly [string[], string[]],
): Promise<{ gateway: number; pod: number }> {
  const pids = await layWireguard(network, {
    tag: 't',
    port: 51820,
    endpoint: `${address.gatewayWan}:51820`,
    addresses: [address.gatewayTunnel, address.podTunnel],
    ...(prefixes && { prefixes }),
    mtu: variant.mtu ?? defaultMtu,
    binary: await binaryOf(network.lab, variant),
  })
  await tuneTunnel(network, variant, congestionControl)
  return pids
}

async function startHaproxy(
  network: Network,
  program: string,
  { end, bind, target }: { end: 'gateway' | 'pod'; bind: string; target: string },
): Promise<number> {
  const cfg = join(network.lab.folder, `haproxy-${end}.cfg`)
  await writeFile(
    cfg,
    `global
  maxconn 9000
defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
frontend web
  bind ${bind}
  default_backend target
backend target
  server target ${target}:80 send-proxy-v2
`,
  )
  return network[end].start(program, ['-db', '-f', cfg]).pid
}
