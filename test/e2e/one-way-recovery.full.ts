import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { Download } from './download.ts'
import { mended, Relayed, whole } from './relayed.ts'

/** One direction is lost on the way, under a download, and comes back. */
t.setTimeout(600_000)

for (const lost of ['to-target', 'to-client'] as const)
  t.test(`one direction is lost for 60 s, ${lost}: back within 6 s`, async t => {
    const lab = await Relayed.start()
    t.teardown(() => lab[Symbol.asyncDispose]())
    const download = await Download.begin(lab.world, 9000)
    await lab.faults({ lost })
    const began = performance.now()
    // The cluster end is the client: what is lost to the gateway is what it sends.
    const heard = lost === 'to-target' ? 'cluster' : 'gateway'
    await lab.until(heard, ({ tunnel }) => tunnel.peers[0].path.state === 'one-way')
    await sleep(Math.max(0, 60_000 - (performance.now() - began)))
    for (const end of ['gateway', 'cluster'] as const)
      t.equal((await lab.ask(end, '/readyz')).code, 503, `${end} is not ready`)
    await lab.faults({ lost: undefined })
    const ms = await lab.goodRequest()
    t.ok(ms <= 6000, `${Math.round(ms)} ms`)
    await whole(t, download)
    await mended(t, lab)
  })
