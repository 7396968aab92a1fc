import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { program } from '../lab/built.ts'
import { scratchFolder } from '../lab/scratch.ts'
import { bench } from './run.ts'

t.test('HAProxy and both ends, a second each', async t => {
  const out = join(scratchFolder(), 'run.json')
  const { code, stdout, stderr, pid } = await bench(
    ...['--rounds', '1', '--seconds', '1', '--idle', '20', '--networks', 'clean', '--out', out],
    ...['--tests', 'startup,idle,keep,upload', '--contenders', 'haproxy,ours@built'],
    ...['--variant', `built=${JSON.stringify({ program })}`],
  )
  t.equal(code, 0, stderr)
  const run = JSON.parse(await readFile(out, 'utf8'))
  t.match(run, {
    rounds: 1,
    seconds: 1,
    machine: { versions: { HAProxy: /HAProxy/, Node: process.version } },
  })
  t.same(
    run.rows.map(({ contender }: { contender: string }) => contender),
    ['haproxy', 'ours@built'],
  )
  for (const { contender, network, realClient, values } of run.rows) {
    t.equal(network, 'clean')
    t.equal(realClient, true, `${contender}: the backend sees the client's address`)
    t.equal(values['idle.open'], 20)
    const positive = [
      'rate',
      'p50',
      'p90',
      'p99',
      'cpu.gateway',
      'cpu.tunnel',
      'cpu.machine',
      'system.pod',
      'wait.pod',
    ]
    for (const key of [...positive.map(name => `keep.${name}`), 'upload.rate'])
      t.ok(values[key] > 0, `${contender}: ${key} is ${values[key]}`)
    t.ok(values['keep.p99.9'] >= values['keep.p99'])
    const parts = ['gateway', 'pod', 'tunnel'].reduce((sum, part) => sum + values[`keep.cpu.${part}`], 0)
    t.ok(parts < values['keep.cpu.machine'], `${contender}: the parts use ${parts}`)
    for (const end of ['gateway', 'pod']) {
      t.ok(Number.isFinite(values[`idle.${end}`]), `${contender}: ${end}`)
      t.ok(Number.isFinite(values[`idle.further.${end}`]), `${contender}: ${end}`)
      t.ok(values[`startup.memory.${end}`] > 5, `${contender}: ${end}`)
      // HAProxy does not say when it runs.
      const time = values[`startup.time.${end}`]
      if (contender === 'haproxy') t.equal(time, undefined)
      else t.ok(time > 0, `${contender}: ${end} started in ${time} ms`)
    }
  }
  t.match(stdout, /keep-alive requests, 64 connections, \/s +\| \d+ +\| \d+ \(\d+\.\d\d\) +\|/)
  t.same(
    readdirSync('/run/netns').filter(name => name.startsWith(`wgb${pid}-`)),
    [],
    'no namespace is left',
  )
})

t.test('a path with delay holds each packet for as long', async t => {
  const out = join(scratchFolder(), 'run.json')
  const { code, stderr } = await bench(
    ...['--rounds', '1', '--seconds', '1', '--networks', 'clean', '--out', out],
    ...['--tests', 'ttfb', '--contenders', 'tunnel'],
  )
  t.equal(code, 0, stderr)
  const { rows } = JSON.parse(await readFile(out, 'utf8'))
  t.ok(
    rows[0].values['ttfb.time'] >= 80,
    `connecting and asking take a round trip of 40 ms each: ${rows[0].values['ttfb.time']}`,
  )
})

t.test('usage', async t => {
  const { code, stderr } = await bench('--rounds', 'many')
  t.equal(code, 2)
  t.match(stderr, /--rounds is "many".*\nusage: /)
})
