import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { generatePresharedKey } from '../../src/config/keys.ts'
import { secret } from '../lab/secrets.ts'
import {
  becomes,
  deafen,
  doctorOf,
  ends,
  has,
  isProbed,
  isReady,
  restart,
  start,
  statusOf,
  traffic,
} from './one-way.ts'
import { wgConf } from './topology.ts'

/** One direction lost: each of the two, with each kind of far end. */
t.setTimeout(900_000)

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
