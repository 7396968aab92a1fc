import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  becomes,
  deafen,
  type End,
  ends,
  has,
  isReady,
  restart,
  start,
  statusOf,
  traffic,
} from './one-way.ts'
import type { Topology } from './topology.ts'

/** Peers whose firewall lets no probe through the tunnel: judged by handshakes and by a link's pings, never dead by mistake. */
t.setTimeout(900_000)

/** Nothing that comes out of the tunnel is answered, but what is asked of the forward's port, and of the link's. */
async function silence(world: Topology, end: End, ports: string): Promise<void> {
  const device = world.interfaces[end]
  const rules = [
    `-p tcp -m multiport --dports ${ports} -j ACCEPT`,
    '-p tcp -m state --state ESTABLISHED -j ACCEPT',
    '-j DROP',
  ]
  for (const rule of rules) await world[end].exec('iptables', '-A', 'INPUT', '-i', device, ...rule.split(' '))
}

t.test('a peer that answers no probes stays up as long as its handshakes are completed', async t => {
  const started = await start(t, { more: 'link: false\n' })
  const { world } = started
  for (const end of ends) await silence(world, end, '80')
  // Ends that start now have never seen an answer to a probe.
  await restart(started, ends)
  traffic(t, world)
  for (const end of ends) await becomes(world, end, isReady)
  for (let minute = 0; minute < 5; minute++) {
    await sleep(60_000)
    for (const end of ends) {
      const { tunnel, health } = await statusOf(world, end)
      t.match(
        tunnel!.peers[0]!.path,
        { state: 'up', deaths: 0, answersProbes: false },
        `${end} after ${minute + 1} min`,
      )
      t.equal(health.status, 'ready')
    }
  }
  await deafen(world, 'gateway')
  const { took } = await becomes(world, 'cluster', has('one-way'), 240_000)
  t.ok(took <= 215_000, `${Math.round(took)} ms`)
})

t.test("a peer that answers no probes, and a link's pings", async t => {
  const started = await start(t)
  const { world } = started
  for (const end of ends) await silence(world, end, '80,9587')
  await restart(started, ends)
  traffic(t, world)
  await becomes(world, 'gateway', ({ links }) => links.some(({ state }) => state === 'up'))
  const { status } = await becomes(world, 'cluster', isReady)
  t.equal(status.tunnel!.peers[0]!.path.answersProbes, false)
  await sleep(20_000)
  for (const end of ends)
    t.match((await statusOf(world, end)).tunnel!.peers[0]!.path, { state: 'up', deaths: 0 })
  const mend = await deafen(world, 'gateway')
  const { took } = await becomes(world, 'cluster', has('one-way'))
  t.ok(took <= 45_000, `${Math.round(took)} ms`)
  await mend()
  for (const end of ends) await becomes(world, end, isReady)
})
