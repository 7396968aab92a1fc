import t from 'tap'
import { ready, seenAddress, startByHand, startNginx, startOurs, topology } from './topology.ts'
import { transfers } from './transfers.ts'

/** The gateway is ours; in the cluster WireGuard was set up with wg(8), and HAProxy forwards. */
const world = await topology()
t.teardown(() => world.lab.close())

await startNginx(world)
const gateway = await startOurs(
  world,
  'gateway',
  `forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  v1: { listen: ":8001", target: "10.1.10.2:8001", sendProxy: v1 }
  bytes: { listen: ":9000", target: "10.1.10.2:9000" }
`,
)
await startByHand(
  world,
  'cluster',
  `listen http
  bind 10.1.10.2:80 accept-proxy
  server web 127.0.0.1:8080 send-proxy-v2
listen v1
  bind 10.1.10.2:8001 accept-proxy
  server web 127.0.0.1:8080 send-proxy
listen bytes
  bind 10.1.10.2:9000 accept-proxy
  server raw 127.0.0.1:9000
`,
)
await ready(gateway)

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

transfers(t, world, 9000, { resets: false })
