import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { generatePresharedKey } from '../../src/config/keys.ts'
import { startEnd } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { secret } from '../lab/secrets.ts'
import { becomes, deafen, doctorOf, type End, has, isProbed, isReady, statusOf } from './one-way.ts'
import { ready, startByHand, startNginx, startOurs, type Topology, topology, wgConf } from './topology.ts'

/** One direction lost: each of the two, with each kind of far end. */
t.setTimeout(900_000)

const forwards = {
  gateway: 'forwards:\n  http: { listen: ":80", target: "10.1.10.2:80" }\n',
  cluster: 'forwards:\n  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }\n',
}
const haproxy = {
  gateway: 'listen http\n  bind :::80 v4v6\n  server clustervpn 10.1.10.2:80 send-proxy-v2\n',
  cluster: 'listen http\n  bind 10.1.10.2:80 accept-proxy\n  server web 127.0.0.1:8080 send-proxy-v2\n',
}
const ends = ['gateway', 'cluster'] as const

interface Started {
  readonly world: Topology
  /** Those that are ours. */
  readonly running: Partial<Record<End, Running>>
}

async function start(
  t: Test,
  options: { presharedKey?: string; byHand?: End; more?: string } = {},
): Promise<Started> {
  const { presharedKey, byHand, more = '' } = options
  const world = await topology(presharedKey === undefined ? {} : { presharedKey })
  t.teardown(() => world.lab.close())
  await startNginx(world)
  const running: Partial<Record<End, Running>> = {}
  for (const end of ends)
    if (end === byHand) await startByHand(world, end, haproxy[end])
    else running[end] = await startOurs(world, end, forwards[end] + more)
  await ready(...Object.values(running))
  return { world, running }
}

/** Stops these ends, and then starts them again. */
async function restart({ world, running }: Started, which: readonly End[]): Promise<void> {
  await Promise.all(which.map(end => running[end]!.stop()))
  for (const end of which) startEnd(world[end], join(world.lab.folder, end))
}

/** A client asks again and again, so that there is data to send, until the test is over. */
function traffic(t: Test, world: Topology): void {
  const asking = world.client.start('bash', [
    '-c',
    'while true; do curl -s -o /dev/null --max-time 2 http://203.0.113.1/; sleep 0.5; done',
  ])
  t.teardown(() => asking.stop('SIGKILL'))
}

const other = { gateway: 'cluster', cluster: 'gateway' } as const

for (const more of ['', 'link: false\n'])
  for (const deaf of ends)
    t.test(`into the ${deaf} nothing passes, ${more === '' ? 'with a link' : 'without one'}`, async t => {
      const started = await start(t, { more })
      const { world } = started
      for (const end of ends) await becomes(world, end, isProbed)
      const mend = await deafen(world, deaf)
      const heard = other[deaf]
      const [oneWay, dead] = await Promise.all([
        becomes(world, heard, has('one-way')),
        becomes(world, deaf, has('path-dead')),
      ])
      t.ok(
        Math.max(oneWay.took, dead.took) <= 45_000,
        `${Math.round(oneWay.took)} and ${Math.round(dead.took)} ms`,
      )
      // The end that calls has taken every rung.
      await becomes(world, 'cluster', ({ tunnel }) => tunnel!.peers[0]!.path.rungs.restart > 0)
      for (const end of ends) await becomes(world, end, has(end === heard ? 'one-way' : 'path-dead'))
      const { path } = (await statusOf(world, 'cluster')).tunnel!.peers[0]!
      t.match(path.rungs, { port: 1 }, 'another local port was tried')
      t.equal((await statusOf(world, heard)).health.status, 'unready', 'for as long as it lasts')
      await mend()
      for (const end of ends) {
        const { status } = await becomes(world, end, isReady)
        t.equal(status.tunnel!.peers[0]!.path.deaths, 1, `${end}: lost once`)
      }
    })

for (const byHand of ends)
  t.test(`the ${byHand} was set up by hand and gets nothing; then the other one`, async t => {
    const started = await start(t, { byHand })
    const { world } = started
    const ours = other[byHand]
    await becomes(world, ours, isProbed)
    traffic(t, world)
    const mend = await deafen(world, byHand)
    await becomes(world, ours, has('one-way'))
    t.match(
      (await doctorOf(world, ours)).filter(({ step }) => step.startsWith('peer')),
      [{ state: 'failed', fix: /At the other end, let UDP \d+ in/ }],
    )
    await mend()
    await becomes(world, ours, isReady)
    const mendOurs = await deafen(world, ours)
    await becomes(world, ours, has('path-dead'))
    await mendOurs()
    await becomes(world, ours, isReady)
  })

t.test('another PresharedKey at one end: nobody says that the keys fit', async t => {
  const started = await start(t, { presharedKey: secret(generatePresharedKey()) })
  const { world } = started
  for (const end of ends) await becomes(world, end, isProbed)
  // The end that is started anew knows no session; the gateway still has one, of the old key.
  const changed = { ...world, presharedKey: secret(generatePresharedKey()) }
  const folder = join(world.lab.folder, 'cluster')
  await writeFile(join(folder, 'wg0.conf'), wgConf(changed, 'cluster'), { mode: 0o600 })
  await restart(started, ['cluster'])
  await becomes(world, 'gateway', has('one-way'))
  for (const end of ends) {
    const [peer] = (await doctorOf(world, end)).filter(({ step }) => step.startsWith('peer'))
    t.match(peer, { state: 'failed', fix: /PresharedKey/ })
    t.notMatch(peer?.found, /keys fit/)
  }
})

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
