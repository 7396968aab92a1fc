import { mkdir, rm, writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Download } from './download.ts'
import { mended, Relayed, whole } from './relayed.ts'

/** The faults that take longer than a few seconds, each in a world of its own. */
t.setTimeout(600_000)

async function start(t: Test, options?: Parameters<typeof Relayed.start>[0]): Promise<Relayed> {
  const lab = await Relayed.start(options)
  t.teardown(() => lab[Symbol.asyncDispose]())
  return lab
}

/** Asks both ends for /livez all along; the number of answers that were not 200. */
function watchLivez(lab: Relayed): () => Promise<number> {
  let over = false
  let bad = 0
  const watching = (async () => {
    while (!over) {
      for (const end of ['gateway', 'cluster'] as const)
        if ((await lab.ask(end, '/livez')).code !== 200) bad++
      await sleep(500)
    }
  })()
  return async () => {
    over = true
    await watching
    return bad
  }
}

t.test('the path is dead for 60 s: back within 6 s', async t => {
  const lab = await start(t)
  const livez = watchLivez(lab)
  const download = await Download.begin(lab.world, 9000)
  await lab.faults({ cut: true })
  const noticed = await lab.until('cluster', ({ tunnel }) => tunnel.peers[0].path.state === 'recovering')
  t.ok(noticed <= 15_000, `noticed after ${Math.round(noticed)} ms`)
  const { code, body } = await lab.ask('cluster', '/readyz')
  t.equal(code, 503)
  t.match(JSON.parse(body).reasons, [{ code: 'path-dead', peer: lab.world.keys.gateway.publicKey }])
  await sleep(60_000 - noticed)
  await lab.faults({ cut: false })
  const ms = await lab.goodRequest()
  t.ok(ms <= 6000, `${Math.round(ms)} ms`)
  await whole(t, download)
  await mended(t, lab)
  t.equal(await livez(), 0)
})

t.test('a source port that is dropped for good: another one within 30 s', async t => {
  const lab = await start(t)
  const livez = watchLivez(lab)
  const download = await Download.begin(lab.world, 9000)
  const { listenPort } = (await lab.status('cluster')).tunnel
  await lab.nat('ban')
  const ms = await lab.goodRequest()
  t.ok(ms <= 30_000, `${Math.round(ms)} ms`)
  await lab.until('cluster', ({ tunnel }) => tunnel.listenPort !== listenPort)
  const { tunnel } = await lab.status('cluster')
  t.match(tunnel.peers[0].path.rungs, { recreate: 1, resolve: 1, port: 1, restart: 0 })
  await whole(t, download)
  await mended(t, lab)
  t.equal(await livez(), 0)
})

t.test('full-size packets are dropped: seen within 15 s, and transfers go on at 1280', async t => {
  const lab = await start(t)
  const livez = watchLivez(lab)
  const download = await Download.begin(lab.world, 9000)
  // 1380 bytes inside, 32 of WireGuard's.
  await lab.faults({ largest: 1412 })
  const seen = ({ health }: { health: { reasons: { code: string }[] } }) =>
    health.reasons.some(({ code }) => code === 'mtu-black-hole')
  const [atGateway, atCluster] = await Promise.all([lab.until('gateway', seen), lab.until('cluster', seen)])
  t.ok(Math.max(atGateway, atCluster) <= 15_000, `${Math.round(atGateway)} and ${Math.round(atCluster)} ms`)
  await whole(t, download)
  for (const end of ['gateway', 'cluster'] as const) {
    await lab.until(end, ({ tunnel }) => tunnel.peers[0].path.state === 'up')
    const { tunnel, health } = await lab.status(end)
    t.equal(tunnel.mtu, 1280)
    t.equal(health.status, 'degraded')
  }
  t.equal((await lab.ask('gateway', '/readyz')).code, 200)
  t.equal(await livez(), 0)
})

t.test('30 % loss for 60 s: nothing flips more than twice', async t => {
  const lab = await start(t)
  const livez = watchLivez(lab)
  const download = await Download.begin(lab.world, 9000)
  const before = { gateway: lab.flips('gateway'), cluster: lab.flips('cluster') }
  await lab.faults({ loss: 0.3 })
  await sleep(60_000)
  await lab.faults({ loss: 0 })
  await mended(t, lab)
  for (const end of ['gateway', 'cluster'] as const)
    t.ok(lab.flips(end) - before[end] <= 2, `${end}: ${lab.flips(end) - before[end]} flips`)
  await whole(t, download)
  t.equal(await livez(), 0)
})

t.test('30 % loss for 60 s without traffic: nothing flips more than twice', async t => {
  const lab = await start(t)
  const before = { gateway: lab.flips('gateway'), cluster: lab.flips('cluster') }
  await lab.faults({ loss: 0.3 })
  await sleep(60_000)
  await lab.faults({ loss: 0 })
  await mended(t, lab)
  for (const end of ['gateway', 'cluster'] as const)
    t.ok(lab.flips(end) - before[end] <= 2, `${end}: ${lab.flips(end) - before[end]} flips`)
})

t.test('the name of the gateway gets another address: within 15 s of the failure of the old one', async t => {
  // ip-netns(8) shows /etc/netns/NAME/hosts as /etc/hosts to what runs in that namespace.
  const folder = `/etc/netns/e${process.pid}-cluster`
  await mkdir(folder, { recursive: true })
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  await writeFile(`${folder}/hosts`, '198.51.100.1 gateway.example\n')
  const lab = await start(t, { endpoint: 'gateway.example:51821' })
  const livez = watchLivez(lab)
  const download = await Download.begin(lab.world, 9000)
  await lab.relayAt('198.51.100.9')
  await writeFile(`${folder}/hosts`, '198.51.100.9 gateway.example\n')
  await lab.faults({ cut: true })
  const ms = await lab.goodRequest()
  t.ok(ms <= 15_000, `${Math.round(ms)} ms`)
  await lab.until('cluster', ({ tunnel }) => tunnel.peers[0].endpoint === '198.51.100.9:51821')
  await whole(t, download)
  await mended(t, lab)
  t.equal(await livez(), 0)
})
