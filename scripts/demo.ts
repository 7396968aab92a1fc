import { parseArgs } from 'node:util'
import { endFolder, keyPairs, startEnd } from '../test/lab/end.ts'
import { type Host, Lab, type Running } from '../test/lab/lab.ts'

/**
 * The product on one machine: a client, a gateway end and a cluster end, each in a network namespace, with real keys
 * and the real wireguard-go between them, and a web server behind the cluster end that requires PROXY v2.
 *
 *   machine 198.18.0.1 ── 198.18.0.2 ┐
 *   client 203.0.113.7 ─ 203.0.113.1 gateway 198.51.100.1 ─ 198.51.100.2 cluster ── web server 127.0.0.1:8080
 *                                    10.1.10.1 ══ wireguard ══ 10.1.10.2
 */

const clientAddress = '203.0.113.7'
const { values: flags } = parseArgs({ options: { once: { type: 'boolean' } } })

/** One request as each hop saw it. */
interface Hop {
  readonly where: string
  readonly seen: string
}

if (process.getuid?.() === 0) await demo()
else {
  say('The demo needs root, for network namespaces, TUN devices and routes; run it with sudo')
  process.exitCode = 1
}

async function demo(): Promise<void> {
  const stop = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.resolve())
  const lab = await Lab.create(`wgd${process.pid}`)
  try {
    const right = await Promise.race([show(lab), stop.promise])
    if (flags.once) process.exitCode = right ? 0 : 1
    else if (right) await stop.promise
    else process.exitCode = 1
  } catch (error) {
    say(`The demo failed: ${(error as Error).message}`)
    process.exitCode = 1
  } finally {
    await lab.close()
  }
}

/** Builds all of it, sends one request, prints what was seen; true when the web server saw the client's real address. */
async function show(lab: Lab): Promise<boolean> {
  say('Laying three network namespaces: client, gateway, cluster')
  const [client, gateway, cluster] = [
    await lab.host('client'),
    await lab.host('gateway'),
    await lab.host('cluster'),
  ]
  await lab.link(client, [`${clientAddress}/24`], gateway, ['203.0.113.1/24'])
  await lab.link(gateway, ['198.51.100.1/24'], cluster, ['198.51.100.2/24'])
  await lab.link(undefined, ['198.18.0.1/30'], gateway, ['198.18.0.2/30'])
  await lab.link(undefined, ['198.18.0.5/30'], cluster, ['198.18.0.6/30'])
  say('Starting a web server in the cluster that requires PROXY v2')
  cluster.start(process.execPath, [new URL('demo-web.ts', import.meta.url).pathname])
  say('Making two key pairs and starting both ends on wireguard-go')
  const ends = await startEnds(lab, gateway, cluster)
  await Promise.all(
    ends.map(end => end.logged(line => line.msg === 'health changed' && line.status === 'ready')),
  )

  say('Sending one request from the client to http://203.0.113.1/\n')
  const body = await client.run(async () => {
    const response = await fetch('http://203.0.113.1/', { headers: { connection: 'close' } })
    return response.text()
  })
  const hops = await trace(ends, JSON.parse(body))
  const width = Math.max(...hops.map(hop => hop.where.length))
  for (const { where, seen } of hops) say(`  ${where.padEnd(width)}  ${seen}`)
  const address: string = JSON.parse(body).source.address
  const right = address === clientAddress
  say(`\nThe web server saw the client's ${right ? 'real' : 'WRONG'} address: ${address}`)
  if (right && !flags.once) {
    say('\nIt stays up until Ctrl-C. Try it from this machine:')
    say('  a request through the tunnel   curl http://198.18.0.2/')
    say('  the gateway end                http://198.18.0.2:9586/status.json')
    say('  the cluster end                http://198.18.0.6:9586/status.json')
  }
  return right
}

async function startEnds(lab: Lab, gateway: Host, cluster: Host): Promise<[Running, Running]> {
  const keys = keyPairs()
  const admin = 'admin: { listen: ":9586", page: all }'
  const gatewayFolder = await endFolder(lab, 'gateway', {
    config: [
      `tunnel: { wgConf: wg0.conf, interface: ${lab.id}g, stateDir: . }`,
      'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }',
      admin,
    ].join('\n'),
    wgConf: [
      `[Interface]\nAddress = 10.1.10.1\nPrivateKey = ${keys.gateway.privateKey}\nListenPort = 51820`,
      `[Peer]\nPublicKey = ${keys.cluster.publicKey}\nAllowedIPs = 10.1.10.2/32`,
    ].join('\n'),
  })
  const clusterFolder = await endFolder(lab, 'cluster', {
    config: [
      `tunnel: { wgConf: wg0.conf, interface: ${lab.id}c, stateDir: . }`,
      'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }',
      admin,
    ].join('\n'),
    wgConf: [
      `[Interface]\nAddress = 10.1.10.2\nPrivateKey = ${keys.cluster.privateKey}`,
      `[Peer]\nPublicKey = ${keys.gateway.publicKey}\nEndpoint = 198.51.100.1:51820`,
      'AllowedIPs = 10.1.10.2/24\nPersistentKeepalive = 25',
    ].join('\n'),
  })
  const gatewayEnd = startEnd(gateway, gatewayFolder)
  // A handshake that meets a gateway which is not there yet is tried again only after 5 s.
  await gatewayEnd.logged(line => line.msg === 'running')
  return [gatewayEnd, startEnd(cluster, clusterFolder)]
}

/** What each hop says of that one connection, found by the id that both ends put into their logs. */
async function trace([gateway, cluster]: [Running, Running], seen: WebAnswer): Promise<Hop[]> {
  const ended = (end: Running) =>
    end.logged(line => line.msg === 'connection ended' && line.id === seen.uniqueId)
  const [atGateway, atCluster] = await Promise.all([ended(gateway), ended(cluster)])
  const up = await cluster
    .logged(line => line.msg === 'handshake' || line.msg === 'first handshake')
    .catch(() => undefined)
  return [
    { where: 'client', seen: `connects from ${clientAddress} to 203.0.113.1:80` },
    {
      where: 'gateway end',
      seen: `client ${atGateway.client}, dials ${atGateway.target}, writes PROXY v2, id ${atGateway.id}`,
    },
    {
      where: 'wireguard tunnel',
      seen: `198.51.100.2 ⇄ 198.51.100.1:51820${up === undefined ? '' : ', handshake done'}`,
    },
    {
      where: 'cluster end',
      seen: `client ${atCluster.client}, dials ${atCluster.target}, writes PROXY v2, id ${atCluster.id}`,
    },
    {
      where: 'web server',
      seen: `connection from ${seen.peer}; PROXY header says ${seen.source.address}:${seen.source.port}`,
    },
  ]
}

interface WebAnswer {
  readonly peer: string
  readonly source: { readonly address: string; readonly port: number }
  readonly uniqueId: string
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}
