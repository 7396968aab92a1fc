import t from 'tap'
import { ready, seenAddress, startNginx, startOurs, topology } from './topology.ts'
import { transfers } from './transfers.ts'

/** Both ends are ours: over the link, and with a tunnel connection for each. */
for (const link of [true, false])
  t.test(link ? 'over the link' : 'without a link', async t => {
    const world = await topology()
    t.teardown(() => world.lab.close())
    await startNginx(world)
    const off = link ? '' : 'link: false\n'
    const gateway = await startOurs(
      world,
      'gateway',
      `${off}forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  v1: { listen: ":8001", target: "10.1.10.2:8001" }
  v1-tunnel: { listen: ":8002", target: "10.1.10.2:8002", sendProxy: v1 }
  bytes: { listen: ":9000-9001", target: "10.1.10.2:9000-9001" }
`,
    )
    const cluster = await startOurs(
      world,
      'cluster',
      `${off}forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  v1: { listen: "tunnel:8001", target: "127.0.0.1:8080", sendProxy: v1 }
  v1-tunnel: { listen: "tunnel:8002", target: "localhost:8080", acceptProxy: v1 }
  bytes: { listen: "tunnel:9000-9001", target: "127.0.0.1:9000-9001", sendProxy: false }
`,
    )
    await ready(gateway, cluster)
    const isUp = (line: Record<string, unknown>) => line.msg === 'link up'
    if (link) {
      // The first connection that reaches its target finds that there may be a link, too.
      await seenAddress(world, 4, 80)
      await gateway.logged(isUp)
    }

    for (const family of [4, 6] as const) {
      for (const [what, port] of [
        ['v2 to the backend', 80],
        ['v1 to the backend', 8001],
        ['v1 through the tunnel', 8002],
      ] as const) {
        t.test(`IPv${family} client, ${what}: the backend sees the client's address and port`, async t => {
          const { seen, real } = await seenAddress(world, family, port)
          t.equal(seen, real)
        })
      }
    }

    t.test('one connection can be followed through both logs', async t => {
      const { real } = await seenAddress(world, 4, 80)
      const client = real.replace(' ', ':')
      const ended = (line: Record<string, unknown>) =>
        line.msg === 'connection ended' && line.client === client
      const [atGateway, atCluster] = await Promise.all([gateway.logged(ended), cluster.logged(ended)])
      t.match(atGateway.id, /^[0-9a-f]{32}$/)
      t.equal(atGateway.id, atCluster.id)
      t.match(atGateway, { forward: 'http', target: '10.1.10.2:80', end: 'complete', level: 'info' })
      t.match(atCluster, { forward: 'http', target: '127.0.0.1:8080', end: 'complete' })
    })

    transfers(t, world, 9000, { resets: true })

    t.test('it was what it should have been', async t => {
      t.equal(gateway.log.some(isUp), link)
      t.equal(cluster.log.some(isUp), link)
    })
  })
