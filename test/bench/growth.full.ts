import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { scratchFolder } from '../lab/scratch.ts'

const script = join(import.meta.dirname, '../../bench/growth.ts')

/** Megabytes for each further one that nothing may reach: of a forward, a peer, a connection. */
const most = { forwards: 1, peers: 6, link: 0.2, plain: 0.2 }

t.test('forwards, peers and idle connections are measured, and cost no more than their number', async t => {
  const out = join(scratchFolder(), 'growth.json')
  const { stdout } = await promisify(execFile)(process.execPath, [
    script,
    '--quick',
    '--seconds',
    '1',
    '--out',
    out,
  ])
  const { steps } = JSON.parse(await readFile(out, 'utf8'))
  for (const [growth, each] of Object.entries(most)) {
    const [small, large] = steps.filter((step: { growth: string }) => step.growth === growth)
    t.ok(large.count > small.count, growth)
    for (const step of [small, large]) {
      t.ok(step.start.gateway > 50 && step.start.pod > 50 && step.reached > step.start.gateway, growth)
      for (const end of [step.gateway, step.pod]) {
        t.ok(end.memory.program > 20 && end.memory.tunnel > 2, growth)
        t.ok(end.cpu > 0, growth)
      }
    }
    const further =
      (large.gateway.memory.program - small.gateway.memory.program) / (large.count - small.count)
    t.ok(further < each, `${growth}: ${further} MB for each further one`)
  }
  t.match(stdout, /^## Forwards\n\n\| +\| 1 +\| 100 +\| each further one \|/m)
})
