import t from 'tap'
import { ready, seenAddress, startByHand, startNginx, startOurs, topology } from './topology.ts'
import { transfers } from './transfers.ts'

/** The gateway was set up by hand, with wg(8) and HAProxy; the cluster end is ours. */
const world = await topology()
t.teardown(() => world.lab.close())

await startNginx(world)
await startByHand(
  world,
  'gateway',
  `listen http
  bind :::80 v4v6
  server clustervpn 10.1.10.2:80 send-proxy-v2
listen v1
  bind :::8001 v4v6
  server clustervpn 10.1.10.2:8001 send-proxy
listen bytes
  bind :::9000 v4v6
  server clustervpn 10.1.10.2:9000 send-proxy-v2
listen checked
  bind :::8003 v4v6
  server clustervpn 10.1.10.2:8003 send-proxy-v2 check inter 200ms
`,
)
const cluster = await startOurs(
  world,
  'cluster',
  `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  v1: { listen: "tunnel:8001", target: "127.0.0.1:8080", acceptProxy: v1, sendProxy: v1 }
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
  checked: { listen: "tunnel:8003", target: "127.0.0.1:8080" }
log: { level: debug }
`,
)
await ready(cluster)

for (const family of [4, 6] as const) {
  for (const [what, port] of [
    ['v2', 80],
    ['v1', 8001],
  ] as const) {
    t.test(
      `IPv${family} client, ${what} all the way: the backend sees the client's address and port`,
      async t => {
        const { seen, real } = await seenAddress(world, family, port)
        t.equal(seen, real)
      },
    )
  }
}

t.test("HAProxy's health checks are LOCAL: made end to end, logged apart, no client among them", async t => {
  const check = await cluster.logged(line => line.forward === 'checked' && line.msg === 'check ended')
  t.equal(check.level, 'debug')
  t.notOk(
    cluster.log.some(line => line.forward === 'checked' && line.msg === 'connection ended'),
    'a check is no connection of a client',
  )
})

transfers(t, world, 9000, { resets: false })
