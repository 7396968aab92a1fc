import { endFolder, keyPair, killEnd, startEnd } from '../lab/end.ts'
import { type Host, Lab, type Running } from '../lab/lab.ts'
import { Clients, startTarget } from './clients.ts'

/**
 * One cluster end and two gateways, each of which clients reach at an address of its own:
 *
 *                    gateway 0                                           cluster
 *   203.0.113.7 ───  203.0.113.1  198.51.100.1  ─────────  198.51.100.2    10.1.10.2    target 127.0.0.1:9000
 *                    10.1.10.1    ═══════════ wireguard-go ═══════════
 *                    gateway 1                                             (the same device)
 *   192.0.2.7   ───  192.0.2.1    198.51.100.5  ─────────  198.51.100.6
 *                    10.1.10.3    ═══════════ wireguard-go ═══════════
 */
export class Gateways implements AsyncDisposable {
  readonly lab: Lab
  readonly client: Host
  readonly hosts: readonly [Host, Host]
  readonly clusterHost: Host
  readonly gateways: Running[] = []
  cluster!: Running
  readonly #keys = [keyPair(), keyPair(), keyPair()] as const

  private constructor(lab: Lab, client: Host, hosts: [Host, Host], clusterHost: Host) {
    this.lab = lab
    this.client = client
    this.hosts = hosts
    this.clusterHost = clusterHost
  }

  static async start(): Promise<Gateways> {
    const lab = await Lab.create(`w${process.pid}`)
    try {
      const client = await lab.host('client')
      const hosts: [Host, Host] = [await lab.host('gateway0'), await lab.host('gateway1')]
      const all = new Gateways(lab, client, hosts, await lab.host('cluster'))
      for (const number of [0, 1] as const) {
        await lab.link(client, [`${net[number]}.7/24`], hosts[number], [`${net[number]}.1/24`])
        const [near, far] = [`198.51.100.${1 + 4 * number}/30`, `198.51.100.${2 + 4 * number}/30`]
        await lab.link(hosts[number], [near], all.clusterHost, [far])
        await all.startGateway(number)
      }
      await startTarget(all.clusterHost)
      await all.#startCluster()
      return all
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  async startGateway(number: 0 | 1): Promise<void> {
    const folder = await endFolder(this.lab, `gateway${number}`, {
      config: `tunnel: { wgConf: wg0.conf, interface: ${this.lab.id}g${number}, stateDir: . }
forwards: { bytes: { listen: ":9000", target: "10.1.10.2:9000" } }
log: { connections: false }
`,
      wgConf: `[Interface]
Address = ${gatewayAddress[number]}
PrivateKey = ${this.#keys[number].privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${this.#keys[2].publicKey}
AllowedIPs = 10.1.10.2/32
`,
    })
    this.gateways[number] = startEnd(this.hosts[number], folder)
    await this.gateways[number].logged(line => line.msg === 'running')
  }

  async #startCluster(): Promise<void> {
    const peers = ([0, 1] as const).map(
      number => `[Peer]
PublicKey = ${this.#keys[number].publicKey}
Endpoint = 198.51.100.${1 + 4 * number}:51820
AllowedIPs = ${gatewayAddress[number]}/32
PersistentKeepalive = 25
`,
    )
    const folder = await endFolder(this.lab, 'cluster', {
      config: `tunnel: { wgConf: wg0.conf, interface: ${this.lab.id}c, stateDir: . }
forwards: { bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false } }
log: { connections: false }
`,
      wgConf: `[Interface]
Address = 10.1.10.2
PrivateKey = ${this.#keys[2].privateKey}
${peers.join('')}`,
    })
    this.cluster = startEnd(this.clusterHost, folder)
    await this.until(({ health, links }) => health.status === 'ready' && links.length === 2)
  }

  /** Clients of one gateway. */
  clients(number: 0 | 1, rate: number): Promise<Clients> {
    return Clients.come(this.client, { host: `${net[number]}.1`, port: 9000, rate })
  }

  /** A gateway's host goes without a word: the program and its wireguard-go at once. */
  async kill(number: 0 | 1): Promise<void> {
    await killEnd(this.hosts[number], this.gateways[number]!, `${this.lab.id}g${number}`)
  }

  /** The cluster end's. */
  // biome-ignore lint/suspicious/noExplicitAny: asserted by the tests, field by field
  async status(): Promise<any> {
    return this.clusterHost.run(async () => (await fetch('http://127.0.0.1:9586/status.json')).json())
  }

  /** The path from the cluster end to a gateway. */
  async path(number: 0 | 1): Promise<{ state: string; deaths: number; rungs: Record<string, number> }> {
    const { tunnel } = await this.status()
    const { publicKey } = this.#keys[number]
    return tunnel.peers.find((peer: { publicKey: string }) => peer.publicKey === publicKey).path
  }

  /** Until the cluster end's status is so. */
  async until(isSo: (status: Awaited<ReturnType<Gateways['status']>>) => boolean): Promise<void> {
    for (const deadline = Date.now() + 60_000; ; await new Promise(resolve => setTimeout(resolve, 100))) {
      const status = await this.status().catch(() => undefined)
      if (status !== undefined && isSo(status)) return
      if (Date.now() > deadline) throw new Error(JSON.stringify(status))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.close()
  }
}

const net = ['203.0.113', '192.0.2'] as const
const gatewayAddress = ['10.1.10.1', '10.1.10.3'] as const
