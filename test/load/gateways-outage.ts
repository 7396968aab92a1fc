import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import { Gateways } from './gateways.ts'

/** One of two gateways goes away for so many seconds: what it means for the other, which clients use all the time. */
export async function outage(
  t: Test,
  seconds: number,
  { away, back }: Record<'away' | 'back', (all: Gateways) => Promise<void>>,
): Promise<void> {
  await using all = await Gateways.start()
  const lost = await all.clients(0, 20)
  const kept = await all.clients(1, 100)
  await kept.download((seconds + 5) << 20)
  await sleep(1000)
  const before = await all.status()
  t.strictSame(
    before.links.map(({ role, address, state }: Record<string, string>) => [role, address, state]).sort(),
    [
      ['accepted', '10.1.10.1', 'up'],
      ['accepted', '10.1.10.3', 'up'],
    ],
    'each gateway has a link of its own',
  )
  await away(all)
  await all.until(({ health }) => health.status === 'degraded')
  await sleep(seconds * 1000)
  const { deaths, rungs } = await all.path(0)
  t.equal(deaths, 1)
  t.ok(rungs.recreate! >= 1, 'it is called again')
  t.match(rungs, { port: 0, restart: 0 }, 'what would touch the other one is not done')
  t.match(await all.path(1), { state: 'up', deaths: 0 })
  await back(all)
  await all.until(({ health, links }) => health.status === 'ready' && up(links) === 2)
  const after = await all.status()
  t.equal(after.tunnel.process.pid, before.tunnel.process.pid, 'wireguard-go is the same')
  t.equal(after.tunnel.process.restarts, 0)
  t.strictSame(
    all.cluster.log
      .filter(({ msg }) => msg === 'health changed')
      .map(({ status }) => status)
      .slice(-3),
    ['ready', 'degraded', 'ready'],
    'one gateway less is said once',
  )
  await lost.finish()
  const again = await all.clients(0, 20)
  await sleep(500)
  t.ok(
    (await again.finish()).short.every(({ end }) => end === 'complete'),
    'it serves again',
  )
  const { short, long } = await kept.finish()
  t.strictSame(
    short.filter(({ end }) => end !== 'complete'),
    [],
    `${short.length} clients of the other one have noticed nothing`,
  )
  t.match(long, [{ end: 'complete' }], 'nor has its download')
}

export const killed = {
  away: (all: Gateways) => all.kill(0),
  back: (all: Gateways) => all.startGateway(0),
}

/** Its cable is pulled. */
export const unplugged = {
  away: (all: Gateways) => cable(all, 'down'),
  back: (all: Gateways) => cable(all, 'up'),
}

async function cable(all: Gateways, state: 'up' | 'down'): Promise<void> {
  await all.hosts[0].exec('ip', 'link', 'set', 'to-cluster', state)
}

function up(links: { state: string }[]): number {
  return links.filter(({ state }) => state === 'up').length
}
