import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import { endFolder, startEnd } from '../lab/end.ts'
import { asked, becomes, doctorOf, isReady } from './one-way.ts'
import { ready, seenAddress, startNginx, startOurs, topology, wgConf } from './topology.ts'

/**
 * AllowedIPs of everything say neither where the peer is nor whom to trust: no route leads back, and every client is
 * refused. The tunnel itself is up, and the end is not ready, until the peer's own address is named.
 */
const world = await topology()
t.teardown(() => world.lab.close())
await startNginx(world)
const gateway = await startOurs(
  world,
  'gateway',
  'forwards:\n  http: { listen: ":80", target: "10.1.10.2:80" }\n',
)
const conf = wgConf(world, 'cluster').replace(/AllowedIPs = .*/, 'AllowedIPs = 0.0.0.0/0, ::/0')
const tunnel = (probe = '') =>
  `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces.cluster}, stateDir: .${probe} }\n`
const forwards = `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  bare: { listen: "tunnel:81", target: "127.0.0.1:8080", acceptProxy: false }
`
const folder = await endFolder(world.lab, 'cluster', { config: tunnel() + forwards, wgConf: conf })
const cluster = startEnd(world.cluster, folder)
const peer = world.keys.gateway.publicKey

t.test('not ready, and why', async t => {
  await cluster.logged(line => line.msg === 'running')
  const { status } = await becomes(world, 'cluster', ({ tunnel }) => tunnel?.peers[0]?.path.state === 'up')
  t.equal(status.health.status, 'unready')
  t.match(status.health.reasons, [
    {
      code: 'no-route-back',
      peer,
      detail: /0\.0\.0\.0\/0, ::\/0.*tunnel\.probe\.addresses: \{"[^"]+": IP\}/,
    },
    {
      code: 'nobody-trusted',
      forward: 'http',
      detail: /tunnel\.probe\.addresses.*forwards\.http\.trustedProxies/,
    },
  ])
  t.equal(status.health.reasons.length, 2, 'a forward without a header trusts whoever comes')
  const failed = (await doctorOf(world, 'cluster')).filter(({ state }) => state === 'failed')
  t.match(failed, [
    { step: `peer ${peer.slice(0, 8)}`, found: /no route leads back/, fix: /probe\.addresses/ },
    { step: 'clients of http', found: /nobody is trusted/, fix: /probe\.addresses/ },
  ])
  t.match(
    await asked(world, 'cluster', '/metrics'),
    'wg_punchhole_health_reason{reason="nobody-trusted",peer=""} 1',
  )
})

t.test('trust that is configured, and an address with a prefix, are enough', async t => {
  const trusting = forwards.replace('8080" }', '8080", trustedProxies: [10.1.10.1/32] }')
  await writeFile(join(folder, 'wg0.conf'), conf.replace('Address = 10.1.10.2', 'Address = 10.1.10.2/24'))
  await writeFile(join(folder, 'config.yaml'), tunnel() + trusting)
  await becomes(world, 'cluster', isReady)
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
})

t.test('the address is named: ready, and clients are served', async t => {
  await writeFile(join(folder, 'wg0.conf'), conf)
  await writeFile(
    join(folder, 'config.yaml'),
    tunnel(`, probe: { addresses: { "${peer}": 10.1.10.1 } }`) + forwards,
  )
  const isNamed = ({ tunnel }: EndStatus) => tunnel!.peers[0]!.routes.join() === '10.1.10.1/32'
  await becomes(world, 'cluster', status => isNamed(status) && isReady(status))
  await ready(gateway)
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
})
