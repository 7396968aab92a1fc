import { execFileSync } from 'node:child_process'
import t from 'tap'
import { layNetwork, type Path } from '../../bench/network.ts'
import { endsOf } from '../../bench/processors.ts'
import type { Host } from '../lab/lab.ts'

const affinity = () =>
  execFileSync('taskset', ['-c', '-p', String(process.pid)], { encoding: 'utf8' })
    .trim()
    .split(' ')
    .at(-1)!

/** What a program that is started there may use. */
async function seenBy(host: Host) {
  const running = host.start('sh', ['-c', 'nproc; taskset -c -p $$'])
  await running.exited
  return { processors: running.lines[0], list: running.lines[1]?.split(' ').at(-1) }
}

for (const [name, path] of [
  ['a cable', undefined],
  ['a long way', { delay: 1, loss: 0 }],
] as const satisfies [string, Path | undefined][])
  t.test(`everything at a gateway with one core sees one processor, behind ${name}`, async t => {
    const all = affinity()
    const [first, last] = endsOf(all)
    if (first === last) {
      await t.rejects(layNetwork({ oneCore: true }), /needs a second processor/)
      return
    }
    {
      await using network = await layNetwork({ oneCore: true, path })
      const { gateway, pod } = network
      t.same(await seenBy(gateway), { processors: '1', list: String(first) })
      t.same(await seenBy(pod), { processors: '1', list: String(last) })
      t.equal(affinity(), String(last), 'this process is out of its way')
      const masks = async (host: Host) =>
        (await host.exec('sh', '-c', 'cat /sys/class/net/[!l]*/queues/rx-0/rps_cpus')).trim().split('\n')
      for (const mask of await masks(gateway)) t.equal(Number.parseInt(mask, 16), 2 ** first)
    }
    t.equal(affinity(), all, 'it has its processors back')
  })
