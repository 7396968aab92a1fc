import { join } from 'node:path'
import { commandLine } from '../test/lab/built.ts'
import { endFolder, type KeyPair, keyPair } from '../test/lab/end.ts'
import type { Host, Lab, Running } from '../test/lab/lab.ts'
import type { End } from './contender.ts'
import { address, type Network, wireguardGo } from './network.ts'
import { childrenOf } from './process.ts'
import { retry } from './retry.ts'

/**
 * Ends of this program as growth is measured with: a gateway with many forwards, or with many peers, each of which is a
 * real end with a tunnel, a namespace and a wireguard-go of its own.
 */

/** How large the ends are. */
export interface Size {
  readonly forwards: number
  readonly peers: number
  readonly link: boolean
}

export interface Ends {
  readonly gateway: End
  /** The first one. */
  readonly pod: End
  /** Milliseconds from the gateway's start until every peer had answered it and, with links, each target was known to be up. */
  readonly reached: number
}

const admin = '127.0.0.1:9586'
const firstPort = 80

interface Pod {
  readonly host: Host
  readonly name: string
  readonly keys: KeyPair
  readonly tunnelAddress: string
  /** The gateway as this one reaches it. */
  readonly endpoint: string
}

/** Starts the gateway, then its peers, and resolves once all of them are reached and nothing is left to be done. */
export async function startEnds(network: Network, size: Size, program: string | undefined): Promise<Ends> {
  const { lab } = network
  const keys = keyPair()
  const pods = await layPods(network, size.peers)
  const ports = Array.from({ length: size.forwards }, (_, i) => firstPort + i)
  const start = (host: Host, name: string, end: EndFiles) =>
    startOne(lab, host, name, { ...end, link: size.link, program })
  const began = performance.now()
  const gateway = await start(network.gateway, 'gateway', {
    forwards: ports.map(port => [`0.0.0.0:${port}`, pods.map(pod => `${pod.tunnelAddress}:${port}`)]),
    wgConf: [
      `[Interface]\nAddress = ${address.gatewayTunnel}\nPrivateKey = ${keys.privateKey}\nListenPort = 51820`,
      ...pods.map(pod => `[Peer]\nPublicKey = ${pod.keys.publicKey}\nAllowedIPs = ${pod.tunnelAddress}/32`),
    ],
  })
  const started: (Started | undefined)[] = []
  // Two at a time: there are few processors, and no start has to wait for the others.
  const left = pods.entries()
  const startNext = async (): Promise<void> => {
    for (const [i, { host, name, keys: own, tunnelAddress, endpoint }] of left)
      started[i] = await start(host, name, {
        forwards: ports.map(port => [`tunnel:${port}`, [`${address.backend}:80`]]),
        wgConf: [
          `[Interface]\nAddress = ${tunnelAddress}\nPrivateKey = ${own.privateKey}`,
          `[Peer]\nPublicKey = ${keys.publicKey}\nEndpoint = ${endpoint}:51820`,
          `AllowedIPs = ${address.gatewayTunnel}/32\nPersistentKeepalive = 25`,
        ],
      })
  }
  await Promise.all([startNext(), startNext()])
  await retry(() => allReached(network.gateway, size), 60)
  const reached = performance.now() - began
  return { gateway: endOf(gateway), pod: endOf(started[0]!), reached }
}

/** The network's own pod, and further ones beside it, each with a cable to the gateway and one to the backend. */
async function layPods({ lab, gateway, pod, backend }: Network, count: number): Promise<Pod[]> {
  const pods: Pod[] = []
  for (let i = 1; i <= count; i++) {
    const host = i === 1 ? pod : await lab.host(`pod${i}`)
    const endpoint = i === 1 ? address.gatewayWan : `198.18.${i}.1`
    if (i > 1) {
      await lab.link(gateway, [`${endpoint}/24`], host, [`198.18.${i}.2/24`])
      await lab.link(host, [`100.64.${i}.1/24`], backend, [`100.64.${i}.2/24`])
      await host.route(address.backend, `100.64.${i}.2`)
    }
    pods.push({ host, name: `pod${i}`, keys: keyPair(), tunnelAddress: `10.1.10.${i + 1}`, endpoint })
  }
  return pods
}

interface EndFiles {
  /** Where each listens, and its targets. */
  readonly forwards: readonly (readonly [listen: string, targets: readonly string[]])[]
  readonly wgConf: readonly string[]
}

interface Started {
  readonly running: Running
  /** Milliseconds until it said that it runs. */
  readonly startTime: number
}

async function startOne(
  lab: Lab,
  host: Host,
  name: string,
  { forwards, wgConf, link, program }: EndFiles & { link: boolean; program: string | undefined },
): Promise<Started> {
  const config = {
    // Sockets of wireguard-go are in one folder for all namespaces: names are unique on the machine.
    tunnel: {
      wgConf: 'wg0.conf',
      interface: `${lab.id}${name.replace('pod', 'p').slice(0, 4)}`,
      stateDir: '.',
    },
    forwards: Object.fromEntries(
      forwards.map(([listen, targets], i) => [
        `f${i}`,
        { listen, target: targets.length === 1 ? targets[0] : targets },
      ]),
    ),
    ...(!link && { link: false }),
    admin: { listen: admin },
    log: { connections: false },
  }
  // JSON is YAML.
  const files = { config: JSON.stringify(config, null, 2), wgConf: `${wgConf.join('\n')}\n` }
  const folder = await endFolder(lab, name, files)
  const [env, ...words] = commandLine(['run', '--config', join(folder, 'config.yaml')], {
    WG_PUNCHHOLE_WIREGUARD_GO: wireguardGo,
  })
  const began = performance.now()
  const running = host.start(
    env,
    program === undefined ? words : words.map(word => (word.endsWith('dist/main.js') ? program : word)),
  )
  await running.logged(line => line.msg === 'running')
  return { running, startTime: performance.now() - began }
}

/** Throws as long as something has not been reached yet, or nothing is known of it. */
async function allReached(gateway: Host, { peers, forwards, link }: Size): Promise<void> {
  const status = JSON.parse(await gateway.exec('curl', '-sf', '-m', '5', `http://${admin}/status.json`))
  const up = status.tunnel.peers.filter((peer: { path: { state: string } }) => peer.path.state === 'up')
  const targets = status.forwards.flatMap((forward: { targets: { state: string }[] }) => forward.targets)
  // A lone one is not tried before there is a client.
  const wanted = peers === 1 ? ['up', 'unknown'] : ['up']
  const isUp = targets.filter(({ state }: { state: string }) => wanted.includes(state))
  const links = status.links.filter(({ state }: { state: string }) => state === 'up')
  if (up.length < peers || isUp.length < forwards * peers || (link && links.length < peers))
    throw new Error(
      `the gateway reached ${up.length} of ${peers} peers by ${links.length} links, ` +
        `${isUp.length} of ${targets.length} targets`,
    )
}

function endOf({ running: { pid }, startTime }: Started): End {
  return { program: pid, tunnel: childrenOf(pid)[0], startTime }
}
