import t from 'tap'
import { ready, seenAddress, startNginx, startOurs, topology } from './topology.ts'

/**
 * Clients inside the cluster beside those from outside, as docs/hairpin.md has it: the target behind both ports wants a
 * PROXY header, and sees who each client really is.
 *
 *   caller 10.42.0.7 ── 10.42.0.1 cluster
 */
const world = await topology()
t.teardown(() => world.lab.close())
const caller = await world.lab.host('caller')
await world.lab.link(caller, ['10.42.0.7/24'], world.cluster, ['10.42.0.1/24'])
await startNginx(world, 9080)
const gateway = await startOurs(
  world,
  'gateway',
  'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }\n',
)
const cluster = await startOurs(
  world,
  'cluster',
  `forwards:
  http:   { listen: "tunnel:80", target: "127.0.0.1:9080" }
  inside: { listen: ":8080",     target: "127.0.0.1:9080" }
`,
)
await ready(gateway, cluster)

const get = (port: number, ...options: string[]) =>
  caller
    .exec('curl', '--silent', '--max-time', '5', ...options, `http://10.42.0.1:${port}/`)
    .catch(({ code }) => `curl ${code}`)

t.test('a caller inside is seen by its own address', async t => {
  t.match(await get(8080), /^10\.42\.0\.7 \d+\n$/)
  t.match(await get(8080, '--ipv4', '--local-port', '40123'), '10.42.0.7 40123\n')
})

t.test('clients from outside come the other way, and are seen by theirs', async t => {
  const { seen, real } = await seenAddress(world, 4, 80)
  t.equal(seen, real)
})

t.test('a caller that claims another address is a broken request to the target', async t => {
  const answer = await get(8080, '--haproxy-protocol')
  t.notMatch(answer, /^\d/)
  t.match(answer, /400 Bad Request/)
})

t.test("the tunnel's port is not to be had from inside", async t => {
  t.equal(await get(80), 'curl 7', 'refused: it is bound to the tunnel alone')
})
