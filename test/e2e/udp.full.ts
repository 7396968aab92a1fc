import t from 'tap'
import { retry } from '../lab/retry.ts'
import { question } from './dns.ts'
import { address } from './topology.ts'
import { forwardOf, ports, saidOf, udpWorld } from './udp.ts'
import { crowd, hex, talk } from './udp-client.ts'
import { type Receiver, startInTree, startReceivers } from './udp-receivers.ts'

/** The whole form of udp.test.ts: every real receiver, dnsdist as a sender, many clients, and such that pause. */
const world = await udpWorld({
  gateway: `  servers: { protocol: udp, listen: ":7200-7399", target: "10.1.10.2:7200-7399" }
  balanced: { protocol: udp, listen: ":54", target: "10.1.10.2:7200", acceptProxy: v2-every, trustedProxies: [203.0.113.7] }
  crowd: { protocol: udp, listen: ":55", target: "10.1.10.2:55", maxConnectionsPerClient: 2000, timeouts: { udp: 1s } }
`,
  // CoreDNS with udp_session_tracking listens on 7350, and takes other forms beside.
  cluster: `  servers: { protocol: udp, listen: "tunnel:7200-7350", target: "127.0.0.1:7200-7350", sendProxy: v2-every }
  alone: { protocol: udp, listen: "tunnel:7360", target: "127.0.0.1:7350", sendProxy: v2-alone }
  first: { protocol: udp, listen: "tunnel:7370", target: "127.0.0.1:7350", sendProxy: v2-first, timeouts: { proxyFirst: 28s } }
  crowd: { protocol: udp, listen: "tunnel:55", target: "127.0.0.1:${ports['v2-every']}", sendProxy: v2-every, maxConnectionsPerClient: 2000 }
`,
})
t.teardown(() => world.lab.close())
const { client } = world
const receivers = await startReceivers(world.lab, world.cluster)
await client.exec('ip', 'address', 'add', '203.0.113.8/24', 'dev', 'to-gateway')
const at = { host: address.gateway[4], port: 55 }
let ids = 100

/** What three datagrams of one client got that pauses before each, so many milliseconds. */
const pausing = (
  [
    ['v2-first', 5000],
    ['v2-first', 15_000],
    ['v2-every', 15_000],
    ['v2-alone', 16_000],
  ] as const
).map(async ([form, pause]) => {
  const payloads = ['a', 'b', 'c'].map(hex)
  const heard = await talk(client, { host: address.gateway[4], port: ports[form], payloads, pause, ms: 3000 })
  return { form, pause, heard }
})

/** Whom a receiver saw ask, through both ends; undefined where there is no answer. */
async function seen(
  receiver: Receiver,
  family: 4 | 6,
  port = receiver.port,
  ms = 2000,
): Promise<string | undefined> {
  const id = ids++
  const { name, type } = receiver.asked(id, family)
  const payloads = [question(id, name, type).toString('hex')]
  const [reply] = (await talk(client, { host: address.gateway[family], port, payloads, ms })).replies
  return reply && receiver.saw(id, family, Buffer.from(reply, 'hex'))
}

for (const receiver of receivers)
  await retry(async () => {
    if ((await seen(receiver, 4, receiver.port, 300)) === undefined)
      throw new Error(`${receiver.name} does not answer`)
  }, 20_000)

t.test('every real receiver sees the client', async t => {
  const tracking = receivers.find(({ name }) => name.includes('tracking'))!
  for (const family of [4, 6] as const) {
    for (const receiver of receivers)
      t.equal(
        await seen(receiver, family),
        address.client[family],
        `${receiver.name} (${receiver.suite}), IPv${family}`,
      )
    t.equal(await seen(tracking, family, 7360), address.client[family], `v2-alone, IPv${family}`)
    t.equal(await seen(tracking, family, 7370), address.client[family], `v2-first, IPv${family}`)
  }
})

t.test('what dnsdist tells of its clients', async t => {
  const [unbound] = receivers as [Receiver]
  await startInTree(world.lab, client, 'trixie', 'dnsdist --supervised -C dnsdist.conf', {
    'dnsdist.conf': `setLocal("203.0.113.7:5399")
addLocal("[2001:db8:1::7]:5399")
setACL({"0.0.0.0/0", "::/0"})
setSecurityPollSuffix("")
newServer({address="203.0.113.1:54", useProxyProtocol=true, checkName="up.who.example."})
`,
  })
  const ask = async (name: string, server: string, ...more: string[]) =>
    client.exec(
      'kdig',
      `@${server}`,
      '-p',
      '5399',
      '+timeout=1',
      '+retry=0',
      '+short',
      ...more,
      `q${name}.who.example`,
      'TXT',
    )
  await retry(async () => {
    if (!/here/.test(await ask('0', '203.0.113.7'))) throw new Error('dnsdist does not answer')
  }, 20_000)
  t.match(await ask('90001', '203.0.113.7', '-b', '203.0.113.8'), /here/)
  t.equal(await unbound.saw(90_001, 4, Buffer.alloc(0)), '203.0.113.8')
  t.match(await ask('90002', '2001:db8:1::7', '-b', '2001:db8:1::7'), /here/)
  t.equal(await unbound.saw(90_002, 6, Buffer.alloc(0)), '2001:db8:1::7')
})

t.test('a thousand clients at once, each of whom gets its own replies', async t => {
  t.same(await crowd(client, { count: 1000, from: '203.0.113.7', ...at }), { wrong: [], missing: 0 })
})

t.test('source ports of ended flows that are other clients now', async t => {
  // So few that each is used again at once, while the cluster end still knows whose it was.
  await world.gateway.exec('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=40000 40499')
  for (const from of ['203.0.113.7', '203.0.113.8', '203.0.113.7']) {
    await retry(async () => {
      if ((await forwardOf(world, 'gateway', 'crowd')).active > 0) throw new Error('flows have not ended')
    })
    t.same(await crowd(client, { count: 400, from, ...at }), { wrong: [], missing: 0 }, from)
  }
  await world.gateway.exec('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=32768 60999')
})

t.test('clients that pause are answered, and seen', async t => {
  for (const { form, pause, heard } of await Promise.all(pausing)) {
    const one = { client: address.client[4], port: heard.port }
    t.match(heard.replies.map(saidOf), [one, one, one], `${form}, ${pause} ms`)
  }
  t.notMatch(world.receivers.output, /v2-(first|alone) wrong/)
})
