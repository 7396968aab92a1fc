import { existsSync, readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { endFolder, keyPairs } from '../test/lab/end.ts'
import type { Running } from '../test/lab/lab.ts'
import type { Contender, End, Setting, Started } from './contender.ts'
import { limitedPort, udpPort } from './datagrams.ts'
import { address, deviceOf, type Network } from './network.ts'
import { childrenOf } from './process.ts'
import { binaryOf, tuneTunnel, type Variant } from './variant.ts'

const adminAddress = '127.0.0.1:9586'

/** The built program. */
export const program = join(import.meta.dirname, '../dist/main.js')

/**
 * Two real ends of this program, each with its own tunnel, from config files as a user writes them. `link`: as the
 * program does by default, else `link: false` at both ends.
 */
export function ours({ link }: { link: boolean }): Contender {
  return { start: (network, setting) => start(network, setting, link) }
}

async function start(network: Network, setting: Setting, link: boolean): Promise<Started> {
  const keys = keyPairs()
  const gateway = await startEnd(network, setting, 'gateway', {
    link,
    listen: '0.0.0.0',
    target: address.podTunnel,
    wgConf: [
      `[Interface]\nAddress = ${address.gatewayTunnel}\nPrivateKey = ${keys.gateway.privateKey}`,
      `ListenPort = 51820\n[Peer]\nPublicKey = ${keys.cluster.publicKey}`,
      `AllowedIPs = ${address.podTunnel}/32`,
    ],
  })
  const pod = await startEnd(network, setting, 'pod', {
    link,
    listen: 'tunnel',
    target: address.backend,
    wgConf: [
      `[Interface]\nAddress = ${address.podTunnel}\nPrivateKey = ${keys.cluster.privateKey}`,
      `[Peer]\nPublicKey = ${keys.gateway.publicKey}\nEndpoint = ${address.gatewayWan}:51820`,
      `AllowedIPs = ${address.gatewayTunnel}/32\nPersistentKeepalive = 25`,
    ],
  })
  const isReady = (line: Record<string, unknown>) => line.msg === 'health changed' && line.status === 'ready'
  await Promise.all([gateway, pod].map(({ running }) => running.logged(isReady)))
  const { route, qdisc, txQueueLength } = setting.variant
  if (route || qdisc || txQueueLength) await tuneTunnel(network, setting.variant, setting.congestionControl)
  return {
    url: `http://${address.gateway}`,
    udp: `${address.gateway}:${udpPort}`,
    udpLimited: `${address.gateway}:${limitedPort}`,
    livez: `http://${adminAddress}/livez`,
    gateway: endOf(gateway),
    pod: endOf(pod),
  }
}

async function startEnd(
  network: Network,
  { variant, congestionControl, cpuProfile, udp }: Setting,
  end: 'gateway' | 'pod',
  { link, listen, target, wgConf }: { link: boolean; listen: string; target: string; wgConf: string[] },
): Promise<{ running: Running; startTime: number }> {
  const { lab } = network
  const config = {
    tunnel: {
      wgConf: 'wg0.conf',
      interface: deviceOf(lab, 't', end),
      stateDir: '.',
      congestionControl,
      ...(variant.mtu !== undefined && { mtu: variant.mtu }),
    },
    forwards: {
      http: { listen: `${listen}:80`, target: `${target}:80` },
      ...(udp && datagramForwards(listen, target)),
    },
    ...(!link && { link: false }),
    admin: { listen: adminAddress },
    // HAProxy logs no connections either.
    log: { connections: false },
  }
  // JSON is YAML.
  const files = { config: JSON.stringify(config, null, 2), wgConf: `${wgConf.join('\n')}\n` }
  const folder = await endFolder(lab, end, files)
  const program = programOf(variant)
  const flags = cpuProfile === undefined ? [] : await profileFlags(cpuProfile, end)
  const began = performance.now()
  const running = network[end].start(
    process.execPath,
    [...optionsIn(program), ...flags, program, 'run', '--config', join(folder, 'config.yaml')],
    {
      env: {
        WG_PUNCHHOLE_WIREGUARD_GO: await binaryOf(lab, variant),
        NODE_OPTIONS: variant.nodeOptions ?? '',
        NODE_V8_COVERAGE: '',
      },
    },
  )
  // A handshake that meets a gateway which is not there yet is tried again only after 5 s.
  await running.logged(line => line.msg === 'running')
  return { running, startTime: performance.now() - began }
}

/** The gateway tells the pod who the client is, as it does by itself; the echo server would take no header off. */
function datagramForwards(listen: string, target: string) {
  const echo = { protocol: 'udp', target: `${target}:${udpPort}` }
  return {
    echo: { ...echo, listen: `${listen}:${udpPort}` },
    limited: { ...echo, listen: `${listen}:${limitedPort}`, newConnectionsPerSecond: 100 },
  }
}

function programOf(variant: Variant): string {
  const path = resolve(variant.program ?? program)
  if (!existsSync(path)) throw new Error(`there is no ${path}; build it with npm run build`)
  return path
}

/** The options of Node in a program's first line, `#!/usr/bin/env -S node OPTIONS`. */
function optionsIn(program: string): string[] {
  const [line = ''] = readFileSync(program, 'utf8').split('\n', 1)
  return line.split(' ').filter(word => word.startsWith('--'))
}

async function profileFlags(folder: string, end: string): Promise<string[]> {
  await mkdir(folder, { recursive: true })
  return [
    '--cpu-prof',
    `--cpu-prof-dir=${resolve(folder)}`,
    `--cpu-prof-name=${end}-${Date.now()}.cpuprofile`,
  ]
}

function endOf({ running: { pid }, startTime }: { running: Running; startTime: number }): End {
  const tunnel = childrenOf(pid).find(
    child => readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'wireguard-go',
  )
  return { program: pid, tunnel, startTime }
}
