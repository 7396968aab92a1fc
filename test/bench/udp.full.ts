import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { program } from '../lab/built.ts'
import { scratchFolder } from '../lab/scratch.ts'
import { bench } from './run.ts'

t.test('datagrams through socat and both ends, a second each', async t => {
  const out = join(scratchFolder(), 'run.json')
  const { code, stdout, stderr } = await bench(
    ...['--rounds', '1', '--seconds', '1', '--out', out, '--tests', 'udp64,udplimit'],
    ...['--contenders', 'socat,ours@built', '--variant', `built=${JSON.stringify({ program })}`],
  )
  t.equal(code, 0, stderr)
  const { rows } = JSON.parse(await readFile(out, 'utf8'))
  t.match(rows, [
    { network: 'udp', contender: 'socat' },
    { network: 'udp', contender: 'ours@built' },
  ])
  for (const { contender, values } of rows)
    for (const key of ['udp64.rate', 'udp64.p50', 'udp64.p99', 'udp64.cpu.tunnel'])
      t.ok(values[key] > 0, `${contender}: ${key} is ${values[key]}`)
  t.notOk('udplimit.rate' in rows[0].values, 'socat carries no TCP')
  t.ok(rows[1].values['udplimit.rate'] > 0)
  t.match(stdout, /datagrams of 64 bytes, at most 0\.1 % lost, \/s +\| \d+ +\| \d+ \(\d+\.\d\d\)/)
})
