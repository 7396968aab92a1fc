import t from 'tap'
import type { UdpRelay } from '../lab/udp-relay.ts'
import { relay } from './relayed.ts'
import { address } from './topology.ts'
import { ports, udpWorld } from './udp.ts'
import { crowd } from './udp-client.ts'

/**
 * A network between the ends that loses a tenth and reorders, and source ports in the tunnel that are soon used again: whatever is
 * lost, nobody gets what is another's, and every client is seen as himself.
 */
const brief = 'maxConnectionsPerClient: 2000, timeouts: { udp: 1s }'
const world = await udpWorld(
  {
    gateway: `  crowd: { protocol: udp, listen: ":55", target: "10.1.10.2:55", ${brief} }\n`,
    cluster: `  crowd: { protocol: udp, listen: "tunnel:55", target: "127.0.0.1:${ports['v2-every']}", sendProxy: v2-every, maxConnectionsPerClient: 2000 }\n`,
  },
  '198.51.100.1:51821',
  world => relay(world, '198.51.100.1'),
)
t.teardown(() => world.lab.close())

t.test('loss, reordering and ports that are used again', async t => {
  await world.client.exec('ip', 'address', 'add', '203.0.113.8/24', 'dev', 'to-gateway')
  await world.gateway.exec('sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=40000 40299')
  await world.gateway.run((_, { state }) => {
    Object.assign((state.get('relay 198.51.100.1') as UdpRelay).faults, { loss: 0.1, delay: 5, jitter: 60 })
  })
  for (const from of ['203.0.113.7', '203.0.113.8', '203.0.113.7', '203.0.113.8']) {
    const { wrong, missing } = await crowd(world.client, {
      host: address.gateway[4],
      port: 55,
      from,
      count: 200,
    })
    t.same(wrong, [], from)
    // A tenth each way, and a datagram that meets no port of its own yet is not lost.
    t.ok(missing > 0 && missing < 600 * 0.3, `${missing} of 600 missing`)
  }
})
