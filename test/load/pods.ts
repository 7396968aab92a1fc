import { setTimeout as sleep } from 'node:timers/promises'
import { endFolder, type KeyPair, keyPair, killEnd, startEnd } from '../lab/end.ts'
import { type Host, Lab, type Running } from '../lab/lab.ts'
import { Clients, startTarget } from './clients.ts'

/**
 * One gateway and two pods, each with a key and a target of its own:
 *
 *   client                  gateway                                  pod 0
 *   203.0.113.7  ────────   203.0.113.1   198.51.100.1  ─────────    198.51.100.2    target 127.0.0.1:9000
 *                           10.1.10.1    ═══ wireguard-go ═══        10.1.10.2
 *                                                                    pod 1
 *                                         198.51.100.5  ─────────    198.51.100.6    target 127.0.0.1:9000
 *                                        ═══ wireguard-go ═══        10.1.10.3
 */
export const podNumbers = [0, 1] as const
export type Pod = (typeof podNumbers)[number]

const gatewayAddress = '203.0.113.1'
export const tunnelAddress = ['10.1.10.2', '10.1.10.3'] as const

export interface PodsOptions {
  /** YAML of the ends, without `tunnel`; or what starts another kind of gateway. */
  readonly gateway: string | ((pods: Pods) => Promise<void>)
  readonly pod: string
}

export class Pods implements AsyncDisposable {
  readonly lab: Lab
  readonly client: Host
  readonly gatewayHost: Host
  readonly podHosts: readonly Host[]
  /** The ends; of the gateway only where it is ours. */
  gateway: Running | undefined
  readonly pods: Running[] = []
  readonly #keys: { readonly gateway: KeyPair; readonly pods: readonly KeyPair[] }
  readonly #podConfig: string

  private constructor(lab: Lab, [client, gateway, ...pods]: readonly Host[], podConfig: string) {
    this.lab = lab
    this.client = client!
    this.gatewayHost = gateway!
    this.podHosts = pods
    this.#keys = { gateway: keyPair(), pods: pods.map(keyPair) }
    this.#podConfig = podConfig
  }

  static async start({ gateway, pod }: PodsOptions): Promise<Pods> {
    const lab = await Lab.create(`p${process.pid}`)
    try {
      const hosts: Host[] = []
      for (const name of ['client', 'gateway', 'pod0', 'pod1']) hosts.push(await lab.host(name))
      const pods = new Pods(lab, hosts, pod)
      await lab.link(pods.client, ['203.0.113.7/24'], pods.gatewayHost, [`${gatewayAddress}/24`])
      for (const number of podNumbers)
        await lab.link(pods.gatewayHost, [`${outer(number, 1)}/30`], pods.podHosts[number]!, [
          `${outer(number, 2)}/30`,
        ])
      if (typeof gateway === 'string') pods.gateway = await pods.#startGateway(gateway)
      else await gateway(pods)
      for (const number of podNumbers) {
        await startTarget(pods.podHosts[number]!)
        await pods.restart(number)
      }
      return pods
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  /** Starts a pod whose end was stopped or killed, and waits until it is ready. */
  async restart(pod: Pod): Promise<void> {
    const host = this.podHosts[pod]!
    const folder = await this.#folder(`pod${pod}`, this.#podConfig, this.#podConf(pod))
    const running = startEnd(host, folder)
    this.pods[pod] = running
    await running.logged(line => line.msg === 'health changed' && line.status === 'ready')
  }

  /** The WireGuard config of the gateway. */
  get gatewayConf(): string {
    const peers = this.#keys.pods.map(
      ({ publicKey }, pod) => `[Peer]\nPublicKey = ${publicKey}\nAllowedIPs = ${tunnelAddress[pod]}/32\n`,
    )
    return `[Interface]
Address = 10.1.10.1
PrivateKey = ${this.#keys.gateway.privateKey}
ListenPort = 51820
${peers.join('')}`
  }

  interfaceOf(end: 'gateway' | Pod): string {
    return `${this.lab.id}${end === 'gateway' ? 'g' : end}`
  }

  /** What kubelet does to a pod whose grace period is over: all its processes at once, none can say goodbye. Gives when. */
  kill(pod: Pod): Promise<number> {
    return killEnd(this.podHosts[pod]!, this.pods[pod]!, this.interfaceOf(pod))
  }

  // biome-ignore lint/suspicious/noExplicitAny: asserted by the tests, field by field
  async status(): Promise<any> {
    return this.gatewayHost.run(async () => (await fetch('http://127.0.0.1:9586/status.json')).json())
  }

  /** Until the gateway's status is so. */
  async until(isSo: (status: Awaited<ReturnType<Pods['status']>>) => boolean): Promise<void> {
    for (const deadline = Date.now() + 30_000; !isSo(await this.status()); await sleep(50))
      if (Date.now() > deadline) throw new Error(JSON.stringify(await this.status()))
  }

  /** Clients come from now on. */
  load(rate: number, port = 9000): Promise<Clients> {
    return Clients.come(this.client, { host: gatewayAddress, port, rate })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab.close()
  }

  async #startGateway(config: string): Promise<Running> {
    const folder = await this.#folder('gateway', config, this.gatewayConf)
    const running = startEnd(this.gatewayHost, folder)
    await running.logged(line => line.msg === 'running')
    return running
  }

  #folder(end: 'gateway' | `pod${Pod}`, config: string, wgConf: string): Promise<string> {
    const name = this.interfaceOf(end === 'gateway' ? end : (Number(end.at(-1)) as Pod))
    const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: . }\n`
    return endFolder(this.lab, end, { config: tunnel + config, wgConf })
  }

  #podConf(pod: Pod): string {
    return `[Interface]
Address = ${tunnelAddress[pod]}
PrivateKey = ${this.#keys.pods[pod]!.privateKey}
[Peer]
PublicKey = ${this.#keys.gateway.publicKey}
Endpoint = ${outer(pod, 1)}:51820
AllowedIPs = 10.1.10.1/32
PersistentKeepalive = 25
`
  }
}

function outer(pod: Pod, host: 1 | 2): string {
  return `198.51.100.${pod * 4 + host}`
}
