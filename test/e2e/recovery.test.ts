import t from 'tap'
import { Download } from './download.ts'
import { mended, Relayed, whole } from './relayed.ts'

/** Faults that a tunnel mends by itself: how long until the first good request, and that no byte of a running transfer is lost. */
const lab = await Relayed.start()
t.teardown(() => lab[Symbol.asyncDispose]())

for (const end of ['gateway', 'cluster'] as const) {
  t.test(`wireguard-go of the ${end} killed: within 1 s`, async t => {
    const download = await Download.begin(lab.world, 9000)
    await lab.killChild(end)
    const ms = await lab.goodRequest()
    t.ok(ms <= 1000, `${Math.round(ms)} ms`)
    await whole(t, download)
    await mended(t, lab)
  })
}

/** The gateway's program is ended and started again: milliseconds from its start to the first good request. */
async function restartGateway(signal?: NodeJS.Signals, meanwhile = async () => {}): Promise<number> {
  await lab.gateway.stop(signal)
  await meanwhile()
  const began = performance.now()
  await lab.restart('gateway')
  await lab.goodRequest()
  return performance.now() - began
}

for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
  t.test(`gateway ended with ${signal} and started: within 3 s`, async t => {
    const ms = await restartGateway(signal)
    t.ok(ms <= 3000, `${Math.round(ms)} ms`)
    await mended(t, lab)
  })
}

t.test('the same, right after the cluster came from another port: within 3 s', async t => {
  await lab.killChild('cluster')
  await lab.goodRequest()
  const ms = await restartGateway()
  t.ok(ms <= 3000, `${Math.round(ms)} ms`)
  await mended(t, lab)
})

t.test('the same, and what it remembered is lost, too: within 10 s', async t => {
  const ms = await restartGateway('SIGTERM', () => lab.forgetState('gateway'))
  t.ok(ms <= 10_000, `${Math.round(ms)} ms`)
  await mended(t, lab)
})

t.test('the NAT on the way forgets the mapping: within 10 s', async t => {
  const download = await Download.begin(lab.world, 9000)
  await lab.nat('forget')
  const ms = await lab.goodRequest()
  t.ok(ms <= 10_000, `${Math.round(ms)} ms`)
  await whole(t, download)
  await mended(t, lab)
})
