import t from 'tap'
import { retry, seenAddress, startNginx, topology } from '../e2e/topology.ts'
import { buildImage, type Container, onMachine, skip } from './container.ts'
import { forms, http, startContainer } from './ends.ts'

t.setTimeout(900_000)

t.test('the gateway is restarted', { skip }, async t => {
  await buildImage()
  const world = await topology()
  t.teardown(() => world.lab.close())
  await startNginx(world)

  await t.test('with a named volume: the peer is reached before it says a word', async t => {
    const volume = `${world.lab.id}-state`
    t.teardown(() => onMachine('volume', 'rm', '--force', volume))
    await using cluster = await startContainer(world, 'cluster', http.cluster)
    await using gateway = await startContainer(world, 'gateway', http.gateway, [
      ...forms.host,
      ...['--volume', `${volume}:/var/run/wireguard`],
    ])
    await Promise.all([gateway.ready(), cluster.ready()])
    const before = await endpointOfPeer(gateway)
    t.match(before, /^198\.51\.100\.2:\d+$/)
    await restartAlone(gateway, cluster, async () => t.equal(await endpointOfPeer(gateway), before))
    const { seen, real } = await seenAddress(world, 4, 80)
    t.equal(seen, real)
  })

  await t.test('with a tmpfs: nothing is kept, and the other end forms the tunnel again', async t => {
    await using cluster = await startContainer(world, 'cluster', http.cluster)
    await using gateway = await startContainer(world, 'gateway', http.gateway)
    await Promise.all([gateway.ready(), cluster.ready()])
    await restartAlone(gateway, cluster, async () => t.equal(await endpointOfPeer(gateway), undefined))
    await gateway.ready()
    const { seen, real } = await seenAddress(world, 4, 80)
    t.equal(seen, real)
  })
})

/** Restarts one end and looks at it while the other one cannot send. */
async function restartAlone(end: Container, other: Container, look: () => Promise<unknown>): Promise<void> {
  await other.podman('pause')
  await end.restart()
  await retry(() => end.exec('wg-punchhole', 'health', '--live'))
  await look()
  await other.podman('unpause')
}

async function endpointOfPeer(container: Container): Promise<string | undefined> {
  const { tunnel } = JSON.parse(await container.exec('wg-punchhole', 'status', '--json'))
  return tunnel.peers[0].endpoint
}
