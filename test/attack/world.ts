import { startDeviceByHand } from '../e2e/by-hand.ts'
import { endFolder, type KeyPair, keyPair, startEnd } from '../lab/end.ts'
import { type Host, Lab, type Running } from '../lab/lab.ts'
import { echo } from '../load/echo.ts'
import { Watch } from './watch.ts'

/**
 * The world of the attacks. The gateway is the victim; the good clients' way to the cluster is what must not suffer:
 *
 *   good   192.0.2.7   ── 192.0.2.1   ┐           ┌ 198.51.100.1 ── 198.51.100.2  cluster, 10.1.10.2: ours, an echo behind it
 *                                     ├ gateway ══╡ 10.1.10.1
 *   crowd  203.0.113.7 ── 203.0.113.1 ┘           └ 198.51.101.1 ── 198.51.101.2  hostile, 10.1.10.3: wireguard-go, and
 *                                                                                 what the attack makes of it (far-end.ts)
 *
 * Ports of the gateway: 9000 to the cluster's echo, 9001 to port 9000 of the hostile peer. Over the tunnel 9002 is an
 * echo on the gateway itself, 9587 takes links.
 */
export interface AttackWorld {
  readonly lab: Lab
  readonly good: Host
  readonly crowd: Host
  readonly hostile: Host
  readonly gateway: Host
  readonly cluster: Host
  readonly victim: Running
  readonly clusterEnd: Running
  /** The victim's folder, with config.yaml and wg0.conf. */
  readonly folder: string
  /** What is measured of the victim, and of its good clients. */
  readonly watch: Watch
}

export interface AttackOptions {
  /** More forwards of the gateway: lines of YAML below `forwards:`, indented by two. */
  readonly forwards?: string
  /** More lines of its config. */
  readonly config?: string
  /** Its limit of open files. */
  readonly files?: number
  readonly env?: NodeJS.ProcessEnv
  /** Its log has one line for each connection. */
  readonly logConnections?: boolean
  /** Its /etc/resolv.conf. */
  readonly resolvConf?: string
}

/** Where the hostile peer finds the victim's link. */
export const victimLink = { host: '10.1.10.1', port: 9587 } as const
/** Where the victim looks for a link of the hostile peer. */
export const hostileLink = { host: '10.1.10.3', port: 9587 } as const

/** The modules' addresses for functions that run in an agent. */
export const farEnd = new URL('far-end.ts', import.meta.url).href

/** Brings it up; everything is taken down by `lab.close()`, also after a failure. */
export async function attackWorld(options: AttackOptions = {}): Promise<AttackWorld> {
  const lab = await Lab.create(`a${process.pid}`)
  try {
    const [good, crowd, hostile] = [
      await lab.host('good'),
      await lab.host('crowd'),
      await lab.host('hostile'),
    ]
    const [gateway, cluster] = [await lab.host('gateway'), await lab.host('cluster')]
    await lab.link(good, ['192.0.2.7/24'], gateway, ['192.0.2.1/24'])
    await lab.link(crowd, ['203.0.113.7/24'], gateway, ['203.0.113.1/24'])
    await lab.link(gateway, ['198.51.100.1/24'], cluster, ['198.51.100.2/24'])
    await lab.link(gateway, ['198.51.101.1/24'], hostile, ['198.51.101.2/24'])
    const keys = { gateway: keyPair(), cluster: keyPair(), hostile: keyPair() }
    const { logConnections = false, resolvConf } = options
    if (resolvConf !== undefined) await lab.etc(gateway, 'resolv.conf', resolvConf)
    const folder = await endFolder(lab, 'gateway', {
      config: `tunnel: { wgConf: wg0.conf, interface: ${lab.id}g, stateDir: . }
forwards:
  echo:  { listen: ":9000", target: "10.1.10.2:9000" }
  bad:   { listen: ":9001", target: "10.1.10.3:9000" }
  inner: { listen: "tunnel:9002", target: "127.0.0.1:9100", sendProxy: false }
${options.forwards ?? ''}
log: { connections: ${logConnections} }
${options.config ?? ''}
`,
      wgConf: `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
[Peer]
PublicKey = ${keys.hostile.publicKey}
AllowedIPs = 10.1.10.3/32
`,
    })
    const clusterFolder = await endFolder(lab, 'cluster', {
      config: `tunnel: { wgConf: wg0.conf, interface: ${lab.id}c, stateDir: . }
forwards: { echo: { listen: "tunnel:9000", target: "127.0.0.1:9100", sendProxy: false } }
log: { connections: false }
`,
      wgConf: peerConf('10.1.10.2', '198.51.100.1', keys.cluster, keys.gateway),
    })
    await gateway.run(echo, 9100)
    await cluster.run(echo, 9100)
    const { files, env = {} } = options
    const wrapper = files === undefined ? [] : ['prlimit', `--nofile=${files}:${files}`]
    const victim = startEnd(gateway, folder, { wrapper, env })
    const clusterEnd = startEnd(cluster, clusterFolder)
    await startDeviceByHand(lab, hostile, {
      device: `${lab.id}h`,
      wgConf: peerConf('10.1.10.3', '198.51.101.1', keys.hostile, keys.gateway),
      address: '10.1.10.3/24',
    })
    await Promise.all([
      victim.logged(({ msg, address }) => msg === 'link up' && `${address}`.startsWith('10.1.10.2')),
      clusterEnd.logged(({ msg }) => msg === 'running'),
    ])
    const watch = new Watch({ victim, gateway, good })
    return { lab, good, crowd, hostile, gateway, cluster, victim, clusterEnd, folder, watch }
  } catch (error) {
    await lab.close()
    throw error
  }
}

function peerConf(address: string, endpoint: string, own: KeyPair, gateway: KeyPair): string {
  return `[Interface]
Address = ${address}
PrivateKey = ${own.privateKey}
[Peer]
PublicKey = ${gateway.publicKey}
Endpoint = ${endpoint}:51820
AllowedIPs = 10.1.10.0/24
PersistentKeepalive = 25
`
}
