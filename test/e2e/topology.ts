import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type EndOptions, endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { type Host, Lab, type Running } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'
import { startEndByHand } from './by-hand.ts'

export { retry }

/**
 * The world of the end-to-end tests:
 *
 *   client                     gateway                                 cluster
 *   203.0.113.7     ────────   203.0.113.1   198.51.100.1  ────────    198.51.100.2
 *   2001:db8:1::7              2001:db8:1::1                           nginx 127.0.0.1:8080, wants the PROXY protocol
 *                              10.1.10.1   ═══ wireguard-go ═══        10.1.10.2
 */
export interface Topology {
  readonly lab: Lab
  readonly client: Host
  readonly gateway: Host
  readonly cluster: Host
  readonly keys: ReturnType<typeof keyPairs>
  /** In both wg0.conf, where there is one. */
  readonly presharedKey: string | undefined
  /** Names of the tunnel's interfaces. */
  readonly interfaces: { readonly gateway: string; readonly cluster: string }
}

export const address = {
  client: { 4: '203.0.113.7', 6: '2001:db8:1::7' },
  gateway: { 4: '203.0.113.1', 6: '2001:db8:1::1' },
} as const

export async function topology({ presharedKey }: { presharedKey?: string } = {}): Promise<Topology> {
  const lab = await Lab.create(`e${process.pid}`)
  try {
    const [client, gateway, cluster] = [
      await lab.host('client'),
      await lab.host('gateway'),
      await lab.host('cluster'),
    ]
    await lab.link(client, [`${address.client[4]}/24`, `${address.client[6]}/64`], gateway, [
      `${address.gateway[4]}/24`,
      `${address.gateway[6]}/64`,
    ])
    await lab.link(gateway, ['198.51.100.1/24'], cluster, ['198.51.100.2/24'])
    const interfaces = { gateway: `${lab.id}g`, cluster: `${lab.id}c` }
    return {
      lab,
      client,
      gateway,
      cluster,
      keys: keyPairs(),
      presharedKey,
      interfaces,
    }
  } catch (error) {
    await lab.close()
    throw error
  }
}

/** The two wg0.conf of the known set-up. */
export function wgConf({ keys, presharedKey }: Topology, end: 'gateway' | 'cluster'): string {
  const secret = presharedKey === undefined ? '' : `PresharedKey = ${presharedKey}\n`
  return end === 'gateway'
    ? `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
${secret}`
    : `[Interface]
Address = 10.1.10.2
PrivateKey = ${keys.cluster.privateKey}
[Peer]
PublicKey = ${keys.gateway.publicKey}
Endpoint = 198.51.100.1:51820
AllowedIPs = 10.1.10.2/24
PersistentKeepalive = 25
${secret}`
}

/**
 * Starts one of our ends and waits until it runs. `config` is YAML without `tunnel`.
 * @param endpoint the gateway's, as the cluster end knows it
 */
export async function startOurs(
  world: Topology,
  end: 'gateway' | 'cluster',
  config: string,
  options?: EndOptions,
  endpoint = '198.51.100.1:51820',
): Promise<Running> {
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces[end]}, stateDir: . }\n`
  const conf = wgConf(world, end).replace(/^Endpoint = .*$/m, `Endpoint = ${endpoint}`)
  const folder = await endFolder(world.lab, end, { config: tunnel + config, wgConf: conf })
  const running = startEnd(world[end], folder, options)
  // A handshake that meets a gateway which is not there yet is tried again only after 5 s.
  await running.logged(line => line.msg === 'running')
  return running
}

/** Resolves when the end says that it is ready. */
export async function ready(...ends: Running[]): Promise<void> {
  await Promise.all(
    ends.map(end => end.logged(line => line.msg === 'health changed' && line.status === 'ready')),
  )
}

/** An end of the other kind. */
export async function startByHand(
  world: Topology,
  end: 'gateway' | 'cluster',
  haproxyCfg: string,
): Promise<void> {
  await startEndByHand(world.lab, world[end], {
    device: world.interfaces[end],
    wgConf: wgConf(world, end),
    address: end === 'gateway' ? '10.1.10.1/24' : '10.1.10.2/24',
    haproxyCfg,
  })
}

/** nginx as the service behind the cluster end: answers with the client's address and port as the PROXY header said. */
export async function startNginx(world: Topology, port = 8080): Promise<Running> {
  const folder = join(world.lab.folder, 'nginx')
  await mkdir(folder, { recursive: true })
  const conf = join(folder, 'nginx.conf')
  await writeFile(
    conf,
    `user root; daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 4096; }
http {
  access_log off; client_max_body_size 0;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  server { listen 127.0.0.1:${port} proxy_protocol; location / { return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; } }
}
`,
  )
  const nginx = world.cluster.start('nginx', ['-c', conf])
  await retry(() => world.cluster.exec('bash', '-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`))
  return nginx
}

/** What nginx saw of a request from the client, and the port that the request really came from. */
export async function seenAddress(
  world: Topology,
  family: 4 | 6,
  port: number,
): Promise<{ seen: string; real: string }> {
  return world.client.run(
    async ({ host, port }) => {
      const http = await import('node:http')
      return new Promise((resolve, reject) => {
        const request = http.get({ host, port, agent: false, timeout: 10_000 }, async response => {
          const real = `${request.socket?.localAddress} ${request.socket?.localPort}`
          resolve({
            seen: Buffer.concat(await response.toArray())
              .toString()
              .trim(),
            real,
          })
        })
        request.on('error', reject)
        request.on('timeout', () => request.destroy(new Error('no answer within 10 s')))
      })
    },
    { host: address.gateway[family], port },
  )
}
