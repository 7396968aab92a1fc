import t, { type Test } from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import { command } from '../lab/end.ts'
import type { Host } from '../lab/lab.ts'
import { startNameServer } from '../lab/name-server.ts'
import { address, ready, retry, startNginx, startOurs, type Topology, topology } from './topology.ts'

/**
 * A wildcard in the search domain of the cluster's node makes the target's name the gateway's own address: with `ndots:5`
 * `web.dmz.svc.cluster.local` is tried along the search list before it is tried as it stands.
 */
const resolvConf = `nameserver 127.0.0.1
search edge.svc.cluster.local svc.cluster.local cluster.local home.example
options ndots:5
`
const name = 'web.dmz.svc.cluster.local'
const zone = (gateway: string) => ({
  '*.home.example': gateway.includes(':') ? { AAAA: [gateway] } : { A: [gateway] },
  [name]: { A: ['127.0.0.1'] },
})

async function statusOf(host: Host): Promise<EndStatus['forwards'][number]> {
  const status = await host.run(async () => (await fetch('http://127.0.0.1:9586/status.json')).json())
  return (status as EndStatus).forwards[0]!
}

/** How a connection to the gateway ends that waits for an answer. */
async function request(world: Topology, family: 4 | 6 = 4): Promise<string> {
  return world.client.run(async host => {
    const { connect } = await import('node:net')
    return new Promise<string>(resolve => {
      const socket = connect({ host, port: 8080, autoSelectFamily: false })
      socket.setTimeout(10_000, () => resolve('no answer'))
      socket.on('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'))
      socket.on('data', () => resolve('served'))
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
      socket.on('end', () => resolve('closed'))
    })
  }, address.gateway[family])
}

async function set(
  t: Test,
  {
    gateway,
    target = `${name}:8080`,
    more = '',
    link = true,
  }: Record<'gateway', string> & { target?: string; more?: string; link?: boolean },
) {
  const world = await topology()
  t.teardown(() => world.lab.close())
  await world.lab.etc(world.cluster, 'resolv.conf', resolvConf)
  await world.lab.etc(world.cluster, 'hosts', '127.0.0.1 localhost\n')
  await world.cluster.route('203.0.113.0/24', '198.51.100.1')
  await world.cluster.exec('ip', 'address', 'add', '2001:db8:2::2/64', 'dev', 'to-gateway', 'nodad')
  await world.gateway.exec('ip', 'address', 'add', '2001:db8:2::1/64', 'dev', 'to-cluster', 'nodad')
  await world.cluster.route('2001:db8:1::/64', '2001:db8:2::1')
  const server = await startNameServer(world.cluster)
  await server.say(zone(gateway))
  await startNginx(world)
  const off = link ? '' : 'link: false\n'
  const ends = [
    await startOurs(
      world,
      'gateway',
      `${off}forwards: { web: { listen: ":8080", target: "10.1.10.2:8080" } }\n`,
    ),
    await startOurs(
      world,
      'cluster',
      `${off}forwards: { web: { listen: "tunnel:8080", target: "${target}"${more} } }\n`,
    ),
  ]
  // With a check that has found the loop they are degraded.
  if (more === '') await ready(...ends)
  return { world, server, cluster: ends[1]! }
}

/** Connections of both ends, checks among them. */
async function counted({ gateway, cluster }: Topology): Promise<number> {
  const [here, there] = await Promise.all([statusOf(gateway), statusOf(cluster)])
  return here.accepted + here.checks + there.accepted + there.checks
}

for (const link of [true, false])
  t.test(`the gateway's own address, ${link ? 'over the link' : 'without one'}`, async t => {
    const { world, server, cluster } = await set(t, { gateway: address.gateway[4], link })
    t.match(await request(world), /^ECONN/)
    // A check may follow.
    await retry(async () => {
      const { targets, refused } = await statusOf(world.cluster)
      if (targets[0]!.state !== 'down' || refused.loop === 0) throw new Error(JSON.stringify(targets))
    })
    t.ok((await counted(world)) <= 10, `${await counted(world)} connections`)
    const { targets } = await statusOf(world.cluster)
    t.match(targets, [
      { error: /^loop: web\.dmz\.svc\.cluster\.local is 203\.0\.113\.1:8080, where the clients come in/ },
    ])
    t.match(await cluster.logged(line => line.reason === 'loop'), {
      msg: 'connection refused',
      detail: /dot at its end \(web\.dmz\.svc\.cluster\.local\.\), .*ndots:1 \(dnsConfig of the chart\)/,
    })
    const { output } = await command(
      world.cluster,
      'doctor',
      '--config',
      `${world.lab.folder}/cluster/config.yaml`,
    )
    t.match(output, /FAILED +target of web +.*loop: /)
    t.match(output, /→ .*dot at its end/)
    t.match(output, /warning +clients of web +.*\(loop\)/)
    const metrics = await world.cluster.run(async () => (await fetch('http://127.0.0.1:9586/metrics')).text())
    t.match(metrics, /wg_punchhole_forward_refused_total\{forward="web",reason="loop"\} [1-9]/)
    // The wildcard is taken away.
    await server.say({ [name]: { A: ['127.0.0.1'] } })
    await retry(async () => {
      const answer = await request(world)
      if (answer !== 'served') throw new Error(answer)
    })
  })

t.test('the other family of the gateway, by which the client did not come', async t => {
  const { world } = await set(t, { gateway: address.gateway[6] })
  for (let i = 0; i < 3; i++) t.match(await request(world, 4), /^ECONN/)
  t.ok((await counted(world)) <= 20, `${await counted(world)} connections`)
  const all = [await statusOf(world.gateway), await statusOf(world.cluster)]
  t.ok(all.some(({ refused }) => refused.loop > 0))
})

t.test('the endpoint of the peer, found by a check without any client', async t => {
  const { world } = await set(t, {
    gateway: '198.51.100.1',
    more: ', check: { interval: 200ms, rise: 1, fall: 1 }',
  })
  const error = /^loop: .* is 198\.51\.100\.1:8080, the endpoint of peer \S{8} \(Endpoint = /
  await retry(async () => {
    const { targets } = await statusOf(world.cluster)
    if (!error.test(targets[0]?.error ?? '')) throw new Error(JSON.stringify(targets))
  })
  t.equal(await counted(world), 0)
})

t.test('the endpoint of the peer, as doctor sees it before the first client', async t => {
  const { world } = await set(t, { gateway: '198.51.100.1' })
  const { output } = await command(
    world.cluster,
    'doctor',
    '--config',
    `${world.lab.folder}/cluster/config.yaml`,
  )
  t.match(output, /FAILED +target of web +web\.dmz\.svc\.cluster\.local:8080 is at the endpoint of peer /)
  t.match(output, /→ Name where the service is, with a dot at the end/)
})

t.test('the name with the dot at its end is the service', async t => {
  const { world } = await set(t, { gateway: address.gateway[4], target: `${name}.:8080` })
  t.equal(await request(world), 'served')
  t.match((await statusOf(world.cluster)).targets, [
    { name: `${name}.`, address: '127.0.0.1:8080', state: 'up' },
  ])
})
