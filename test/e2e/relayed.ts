import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Tools } from '../lab/agent.ts'
import type { Running } from '../lab/lab.ts'
import type { Faults, UdpRelay } from '../lab/udp-relay.ts'
import type { Download } from './download.ts'
import { address, ready, startNginx, startOurs, type Topology, topology } from './topology.ts'

/**
 * The world of topology.ts with both ends ours, and a network between them that can be broken:
 *
 *   cluster 198.51.100.2  ──▶  relay 198.51.100.1:51821, in the gateway's namespace  ──▶  127.0.0.1:51820
 */
export class Relayed implements AsyncDisposable {
  readonly world: Topology
  gateway: Running
  cluster: Running
  readonly #endpoint: string

  private constructor(world: Topology, endpoint: string, ends: { gateway: Running; cluster: Running }) {
    this.world = world
    this.#endpoint = endpoint
    this.gateway = ends.gateway
    this.cluster = ends.cluster
  }

  /** `endpoint`: the gateway's, as the cluster end knows it. */
  static async start({ endpoint = '198.51.100.1:51821' } = {}): Promise<Relayed> {
    const world = await topology()
    try {
      await startNginx(world)
      await relay(world, '198.51.100.1')
      const ends = {
        gateway: await startIn(world, 'gateway', endpoint),
        cluster: await startIn(world, 'cluster', endpoint),
      }
      await ready(ends.gateway, ends.cluster)
      const relayed = new Relayed(world, endpoint, ends)
      await relayed.goodRequest()
      // From here on both probe, and know that the other answers.
      await Promise.all([relayed.until('gateway', probed), relayed.until('cluster', probed)])
      return relayed
    } catch (error) {
      await world.lab.close()
      throw error
    }
  }

  /** Starts this end again; it was stopped or killed. */
  async restart(end: 'gateway' | 'cluster'): Promise<void> {
    this[end] = await startIn(this.world, end, this.#endpoint)
  }

  /** Removes what an end remembers of its peers. */
  async forgetState(end: 'gateway' | 'cluster'): Promise<void> {
    const name = `${this.world.interfaces[end]}.endpoints.json`
    await rm(join(this.world.lab.folder, end, name), { force: true })
  }

  /** Another place where the gateway can be reached. */
  async relayAt(host: string): Promise<void> {
    await this.world.gateway.exec('ip', 'address', 'add', `${host}/24`, 'dev', 'to-cluster')
    await relay(this.world, host)
  }

  async faults(faults: Partial<Faults>, host = '198.51.100.1'): Promise<void> {
    await this.world.gateway.run(
      ({ host, faults }, { state }) =>
        void Object.assign((state.get(`relay ${host}`) as UdpRelay).faults, faults),
      { host, faults },
    )
  }

  async nat(what: 'forget' | 'ban'): Promise<void> {
    await this.world.gateway.run(
      (what, { state }) => (state.get('relay 198.51.100.1') as UdpRelay)[what](),
      what,
    )
  }

  /** Milliseconds until a request from the client is answered, each try being given half a second. */
  async goodRequest(): Promise<number> {
    const began = performance.now()
    await this.world.client.run(request, { host: address.gateway[4], port: 80 })
    return performance.now() - began
  }

  /** What an admin path answers. */
  async ask(end: 'gateway' | 'cluster', path: string): Promise<{ code: number; body: string }> {
    return this.world[end].run(async path => {
      const answer = await fetch(`http://127.0.0.1:9586${path}`)
      return { code: answer.status, body: await answer.text() }
    }, path)
  }

  // biome-ignore lint/suspicious/noExplicitAny: asserted by the tests, field by field
  async status(end: 'gateway' | 'cluster'): Promise<any> {
    return JSON.parse((await this.ask(end, '/status.json')).body)
  }

  /** Milliseconds until the status of an end is so. */
  async until(end: 'gateway' | 'cluster', isSo: (status: Awaited<ReturnType<Relayed['status']>>) => boolean) {
    const began = performance.now()
    for (;;) {
      if (isSo(await this.status(end))) return performance.now() - began
      if (performance.now() - began > 120_000) throw new Error(JSON.stringify(await this.status(end)))
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  /** Kills the wireguard-go of an end. */
  async killChild(end: 'gateway' | 'cluster'): Promise<void> {
    process.kill(await this.childPid(end), 'SIGKILL')
  }

  /** The status has no pid for a wireguard-go that was adopted. */
  async childPid(end: 'gateway' | 'cluster'): Promise<number> {
    return Number(await this.world[end].exec('pgrep', '-f', `wireguard-go -f ${this.world.interfaces[end]}$`))
  }

  /** How often an end's readiness changed. */
  flips(end: 'gateway' | 'cluster'): number {
    return this[end].log.filter(({ msg }) => msg === 'health changed').length
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.lab.close()
  }
}

/** What is to be true after every fault. */
export async function mended(t: Test, lab: Relayed): Promise<void> {
  for (const end of ['gateway', 'cluster'] as const) {
    t.equal((await lab.ask(end, '/livez')).code, 200, `${end}: /livez`)
    await lab.until(end, ({ health }) => health.status === 'ready')
  }
}

/** The download went on, and is finished. After a minute of silence TCP may wait another one before it tries again. */
export async function whole(t: Test, download: Download): Promise<void> {
  await download.moves(120_000)
  const { sent, received } = await download.finish()
  t.same(received, sent, 'no byte of a running transfer is lost')
  t.equal(sent.end, 'complete')
}

const forwards = {
  gateway: `forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  bytes: { listen: ":9000", target: "10.1.10.2:9000" }
`,
  cluster: `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
`,
}

function startIn(world: Topology, end: 'gateway' | 'cluster', endpoint: string): Promise<Running> {
  return startOurs(world, end, forwards[end], {}, endpoint)
}

/** Starts the relay on an address of the gateway's host; an agent's state there has it as `relay HOST`. */
export async function relay(world: Topology, host: string): Promise<void> {
  const module = new URL('../lab/udp-relay.ts', import.meta.url).href
  await world.gateway.run(
    async ({ host, module }, { state }) => {
      const { UdpRelay } = await import(module)
      const target = { host: '127.0.0.1', port: 51820 }
      state.set(`relay ${host}`, await UdpRelay.listen({ host, port: 51821, target }))
    },
    { host, module },
  )
}

function probed({ tunnel }: { tunnel: { peers: { path: { answersProbes: boolean } }[] } }): boolean {
  return tunnel.peers.every(({ path }) => path.answersProbes)
}

// What follows is sent to the hosts as text.

async function request({ host, port }: { host: string; port: number }, _: Tools): Promise<void> {
  const http = await import('node:http')
  const attempt = () =>
    new Promise<boolean>(resolve => {
      const request = http.get({ host, port, agent: false, timeout: 500 }, async response => {
        await response.toArray()
        resolve(response.statusCode === 200)
      })
      request.on('error', () => resolve(false))
      request.on('timeout', () => request.destroy())
    })
  for (const end = Date.now() + 120_000; Date.now() < end; ) {
    if (await attempt()) return
    await new Promise(resolve => setTimeout(resolve, 10))
  }
  throw new Error('no good request within two minutes')
}
