import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { scratchFolder } from '../lab/scratch.ts'
import { bench } from './run.ts'

t.test('what runs beside is found, tried again twice, and told', async t => {
  // The parent of both is this test: it is not the benchmark's.
  const busy = spawn('sh', ['-c', 'while :; do :; done'])
  t.teardown(() => busy.kill('SIGKILL'))
  const out = join(scratchFolder(), 'run.json')
  const { code, stdout, stderr } = await bench(
    ...['--rounds', '1', '--seconds', '1', '--out', out],
    ...['--networks', 'clean', '--tests', 'keep', '--contenders', 'haproxy'],
  )
  t.equal(code, 0, stderr)
  const { rows } = JSON.parse(await readFile(out, 'utf8'))
  const told = /^other processes used (0\.[1-9]|[1-9])/
  t.match(rows, [{ disturbance: { sessions: 3, thrown: [told, told], kept: [told] } }])
  t.ok(rows[0].values['keep.rate'] > 0, 'the last is kept')
  t.match(stdout, /haproxy \(disturbed\)/)
  t.match(stdout, /Thrown away and measured again: 2 of 3\./)
})
