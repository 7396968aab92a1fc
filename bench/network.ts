import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deviceListens } from '../test/lab/device.ts'
import { keyPairs } from '../test/lab/end.ts'
import { type Host, Lab } from '../test/lab/lab.ts'
import { type Apart, receiveOn, runOn, setApart } from './processors.ts'
import { retry } from './retry.ts'

/**
 * Where a contender is measured: four network namespaces on one machine.
 *
 *   client 192.0.2.10 ── 192.0.2.1 gateway 198.51.100.1 ── 198.51.100.2 pod 203.0.113.1 ── 203.0.113.2 backend
 *                                  10.1.10.1 ════════════ 10.1.10.2
 *
 * Clients connect to 192.0.2.1:80. The tunnel (10.1.10.0/24) is the contender's own affair.
 */
export interface Network extends AsyncDisposable {
  readonly lab: Lab
  readonly client: Host
  readonly gateway: Host
  readonly pod: Host
  readonly backend: Host
}

/** What happens to each packet between gateway and pod. */
export interface Path {
  /** Milliseconds, in each direction. */
  readonly delay: number
  /** Share of packets lost in each direction, 0 to 1. */
  readonly loss: number
}

/** How a network may differ from the plain one. */
export interface NetworkSettings {
  /** When the link between gateway and pod is not a plain cable. */
  readonly path?: Path | undefined
  /** Whether everything at the gateway runs on one processor, and everything else on another one. */
  readonly oneCore?: boolean
  /** `NAME=VALUE`, in each namespace. */
  readonly sysctl?: readonly string[]
  /** MTU of the cable between gateway and pod, in bytes; not on the lossy network. */
  readonly linkMtu?: number
}

export const address = {
  client: '192.0.2.10',
  gateway: '192.0.2.1',
  gatewayWan: '198.51.100.1',
  podWan: '198.51.100.2',
  gatewayTunnel: '10.1.10.1',
  podTunnel: '10.1.10.2',
  backend: '203.0.113.2',
} as const

/** Same for everybody, whatever the machine's own settings are. */
const sysctls = [
  'net.ipv4.ip_forward=1',
  'net.ipv4.tcp_tw_reuse=1',
  'net.ipv4.ip_local_port_range=1024 65535',
  'net.core.somaxconn=8192',
  'net.ipv4.tcp_max_syn_backlog=8192',
]

/** With `oneCore` this process, too, keeps to what is not the gateway's processor until the network is gone. */
export async function layNetwork(settings: NetworkSettings): Promise<Network> {
  const lab = await Lab.create(`wgb${process.pid}`)
  let apart: Apart | undefined
  const dispose = async () => {
    try {
      await lab.close()
    } finally {
      await apart?.undo()
    }
  }
  try {
    if (settings.oneCore) apart = await setApart()
    const [client, gateway, pod, backend] = [
      await lab.host('client'),
      await lab.host('gateway', apart === undefined ? [] : runOn(apart.gateway)),
      await lab.host('pod'),
      await lab.host('backend'),
    ]
    const network = { lab, client, gateway, pod, backend, [Symbol.asyncDispose]: dispose }
    await connect(network, settings)
    if (apart !== undefined) await receiveApart(network, apart)
    return network
  } catch (error) {
    await dispose()
    throw error
  }
}

async function connect(network: Network, { path, sysctl, linkMtu }: NetworkSettings): Promise<void> {
  const { lab, client, gateway, pod, backend } = network
  const hosts = [client, gateway, pod, backend]
  await Promise.all(hosts.map(host => host.exec('sysctl', '-qw', ...sysctls, ...(sysctl ?? []))))
  await lab.link(client, [`${address.client}/24`], gateway, [`${address.gateway}/24`])
  await lab.link(pod, ['203.0.113.1/24'], backend, [`${address.backend}/24`])
  if (path === undefined) {
    await lab.link(gateway, [`${address.gatewayWan}/24`], pod, [`${address.podWan}/24`])
    if (linkMtu !== undefined)
      for (const [host, device] of [
        [gateway, 'to-pod'],
        [pod, 'to-gateway'],
      ] as const)
        await host.exec('ip', 'link', 'set', device, 'mtu', String(linkMtu))
  } else await layPath(network, path)
  await client.route('default', address.gateway)
  await backend.route('default', '203.0.113.1')
  await Promise.all(hosts.map(useCubic))
}

/** Of the path's devices, too. A tunnel's packets come from a process of the host that they are for. */
async function receiveApart(
  { lab, client, gateway, pod }: Network,
  { others, ...apart }: Apart,
): Promise<void> {
  for (const [host, processor] of [
    [client, others],
    [gateway, apart.gateway],
    [pod, others],
  ] as const) {
    const devices = (await host.exec('ls', '/sys/class/net')).split('\n')
    const wanted = devices.filter(device => device.startsWith('to-') || device.startsWith(lab.id))
    await receiveOn(processor, host, wanted)
  }
}

/**
 * On routes, because a namespace's default is the machine's, and the kernel lets a namespace choose only among what the
 * machine allows to all.
 */
async function useCubic(host: Host): Promise<void> {
  const routes = (await host.exec('ip', '-4', '-o', 'route', 'show')).split('\n').filter(line => line !== '')
  for (const route of routes)
    await host.exec('ip', 'route', 'replace', ...route.trim().split(/ +/), 'congctl', 'cubic')
}

/** A long and lossy way from gateway to pod, for every protocol; see path.go. */
async function layPath({ lab, gateway, pod }: Network, path: Path): Promise<void> {
  const [near, far] = [`${lab.id}pg`, `${lab.id}pp`]
  // At the pod, which has a processor for it on every network.
  const running = pod.start(pathProgram, [near, far, String(path.delay), String(path.loss)])
  await retry(async () => {
    if (!running.lines.includes('ready')) throw new Error(`the path is not there: ${running.output}`)
  })
  await pod.exec('ip', 'link', 'set', near, 'netns', gateway.namespace)
  for (const [host, device, own, other] of [
    [gateway, near, address.gatewayWan, address.podWan],
    [pod, far, address.podWan, address.gatewayWan],
  ] as const) {
    await host.exec('ip', 'address', 'add', own, 'peer', other, 'dev', device)
    await host.exec('ip', 'link', 'set', device, 'mtu', '1500', 'txqueuelen', '8192', 'up')
  }
}

const pathProgram = join(import.meta.dirname, '../native/bin/path')
export const wireguardGo = join(import.meta.dirname, '../native/bin/wireguard-go')

interface Pair {
  /** Part of the two interfaces' names. */
  readonly tag: string
  /** Where the gateway listens, and where the pod sends to. */
  readonly port: number
  readonly endpoint: string
  /** The gateway's and the pod's, inside the tunnel. */
  readonly addresses: readonly [string, string]
  /** Beside each other's address, what the gateway and the pod send into the tunnel. */
  readonly prefixes?: readonly [string[], string[]]
  readonly mtu: number
  readonly binary: string
}

/** A wireguard-go at the gateway and one at the pod, set up by hand; resolves to their process ids. The pod's keepalive makes the handshake. */
export async function layWireguard(
  { lab, gateway, pod }: Pick<Network, 'lab' | 'gateway' | 'pod'>,
  { tag, port, endpoint, addresses, prefixes = [[], []], mtu, binary }: Pair,
): Promise<{ gateway: number; pod: number }> {
  const keys = keyPairs()
  const lay = async (host: Host, end: 'gateway' | 'pod') => {
    const [mine, other] = end === 'gateway' ? [0, 1] : ([1, 0] as const)
    const device = deviceOf(lab, tag, end)
    const running = host.start(binary, ['-f', device], {
      env: { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'error' },
    })
    const conf = join(lab.folder, `${device}.conf`)
    const [own, peer] = end === 'gateway' ? [keys.gateway, keys.cluster] : [keys.cluster, keys.gateway]
    await writeFile(
      conf,
      `[Interface]\nPrivateKey = ${own.privateKey}\n${end === 'gateway' ? `ListenPort = ${port}\n` : ''}` +
        `[Peer]\nPublicKey = ${peer.publicKey}\n` +
        `AllowedIPs = ${[`${addresses[other]!}/32`, ...prefixes[mine]!].join(', ')}\n` +
        (end === 'pod' ? `Endpoint = ${endpoint}\nPersistentKeepalive = 25\n` : ''),
      { mode: 0o600 },
    )
    await deviceListens(device)
    await host.exec('wg', 'setconf', device, conf)
    const ip = (...args: string[]) => host.exec('ip', ...args)
    await ip('address', 'add', `${addresses[mine]}/32`, 'dev', device)
    await ip('link', 'set', device, 'mtu', String(mtu), 'up')
    for (const prefix of [`${addresses[other]}/32`, ...prefixes[mine]!])
      await ip('route', 'add', prefix, 'dev', device, 'src', addresses[mine]!)
    return running.pid
  }
  return { gateway: await lay(gateway, 'gateway'), pod: await lay(pod, 'pod') }
}

/** Sockets of wireguard-go are in one folder for all namespaces: names are unique on the machine. */
export function deviceOf(lab: Lab, tag: string, end: 'gateway' | 'pod'): string {
  return `${lab.id}${tag}${end[0]}`
}
