import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { ready, seenAddress, startNginx, startOurs, topology, wgConf } from './topology.ts'

/** Both ends take another wg0.conf while they run. */
const world = await topology()
t.teardown(() => world.lab.close())
await startNginx(world)
const gateway = await startOurs(
  world,
  'gateway',
  'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }',
)
const cluster = await startOurs(
  world,
  'cluster',
  'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }',
)
await ready(gateway, cluster)

async function change(end: 'gateway' | 'cluster', file: string, content: string) {
  const running = end === 'gateway' ? gateway : cluster
  const from = running.log.length
  await writeFile(join(world.lab.folder, end, file), content)
  return running.logged(line => /^config (reloaded|refused)/.test(String(line.msg)), { from })
}

t.test('one more tunnel address: listened on, routed and trusted, without a restart', async t => {
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
  const clusterConf = wgConf(world, 'cluster').replace('10.1.10.2\n', '10.1.10.2, 10.1.11.2\n')
  t.match(await change('cluster', 'wg0.conf', clusterConf), { msg: 'config reloaded' })
  const gatewayConf = wgConf(world, 'gateway').replace('10.1.10.2/32', '10.1.10.2/32, 10.1.11.2/32')
  t.match(await change('gateway', 'wg0.conf', gatewayConf), { msg: 'config reloaded' })
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces.gateway}, stateDir: . }`
  const forwards =
    'forwards: { http: { listen: ":80", target: "10.1.10.2:80" }, new: { listen: ":81", target: "10.1.11.2:80" } }'
  t.match(await change('gateway', 'config.yaml', `${tunnel}\n${forwards}\n`), { msg: 'config reloaded' })
  for (const port of [80, 81]) {
    const { seen, real } = await seenAddress(world, 4, port)
    t.equal(seen, real, `port ${port}`)
  }
  t.notOk(gateway.log.some(line => line.msg === 'wireguard-go ended'))
})

t.test('another key at both ends', async t => {
  const { privateKey, publicKey } = (await import('../lab/end.ts')).keyPairs().gateway
  const gatewayConf = wgConf(world, 'gateway').replace(world.keys.gateway.privateKey, privateKey)
  t.match(await change('gateway', 'wg0.conf', gatewayConf), { msg: 'config reloaded' })
  const clusterConf = wgConf(world, 'cluster').replace(world.keys.gateway.publicKey, publicKey)
  t.match(await change('cluster', 'wg0.conf', clusterConf), { msg: 'config reloaded' })
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
})

t.test('a broken wg0.conf is refused, the tunnel goes on', async t => {
  const line = await change('cluster', 'wg0.conf', '[Interface]\nAddress = nowhere\n')
  t.match(line, { msg: 'config refused, the old one goes on', errors: [/wg0\.conf:2:\d+: error/, String] })
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
})
