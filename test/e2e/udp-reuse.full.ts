import t from 'tap'
import { retry } from '../lab/retry.ts'
import { address } from './topology.ts'
import { forwardOf, ports, saidOf, udpWorld } from './udp.ts'
import { hex, talk, text } from './udp-client.ts'

/**
 * Source ports towards the target that were another client's a moment ago. The cluster's host has so few that they would come again
 * at once.
 */
const brief = 'timeouts: { udp: 1s }'
const world = await udpWorld({
  gateway: `  first: { protocol: udp, listen: ":61", target: "10.1.10.2:61", ${brief} }
  alone: { protocol: udp, listen: ":62", target: "10.1.10.2:62", ${brief} }
  late: { protocol: udp, listen: ":63", target: "10.1.10.2:63", ${brief} }
`,
  cluster: `  first: { protocol: udp, listen: "tunnel:61", target: "127.0.0.1:${ports['v2-first']}", sendProxy: v2-first, ${brief} }
  alone: { protocol: udp, listen: "tunnel:62", target: "127.0.0.1:${ports['v2-alone']}", sendProxy: v2-alone, ${brief} }
  late: { protocol: udp, listen: "tunnel:63", target: "127.0.0.1:63", sendProxy: false, ${brief} }
`,
})
t.teardown(() => world.lab.close())
const { client, cluster } = world
await client.exec('ip', 'address', 'add', '203.0.113.8/24', 'dev', 'to-gateway')
await cluster.exec('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=40000 40023')

for (const [name, port] of [
  ['first', 61],
  ['alone', 62],
] as const)
  t.test(`v2-${name}: a receiver that still knows the client before takes nobody for him`, async t => {
    for (const from of ['203.0.113.7', '203.0.113.8', '203.0.113.7']) {
      for (const end of ['gateway', 'cluster'] as const)
        await retry(async () => {
          if ((await forwardOf(world, end, name)).active > 0) throw new Error('flows have not ended')
        })
      const talks = [1, 2, 3, 4].map(() =>
        talk(client, { host: address.gateway[4], port, from, payloads: [hex('x'), hex('y')], ms: 400 }),
      )
      for (const { replies, port } of await Promise.all(talks))
        t.match(replies.map(saidOf), [
          { client: from, port },
          { client: from, port },
        ])
    }
    t.notMatch(world.receivers.output, `v2-${name} wrong`)
  })

t.test('a reply that comes when its flow is over is for nobody', async t => {
  await cluster.run(async () => {
    const { createSocket } = await import('node:dgram')
    const socket = createSocket('udp4')
    socket.on('message', (message, from) =>
      setTimeout(() => socket.send(message, from.port, from.address), 1700),
    )
    await new Promise<void>(resolve => socket.bind(63, '127.0.0.1', resolve))
  })
  const strange: string[] = []
  for (let round = 0; round < 6; round++) {
    const talks = [1, 2, 3, 4, 5, 6].map(async number => {
      const own = `${round} ${number}`
      const { replies } = await talk(client, {
        host: address.gateway[4],
        port: 63,
        payloads: [hex(own)],
        ms: 1300,
      })
      for (const reply of replies) if (text(reply) !== own) strange.push(`${own} got ${text(reply)}`)
    })
    await Promise.all(talks)
  }
  t.same(strange, [])
})
