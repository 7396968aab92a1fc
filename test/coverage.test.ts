import { execFileSync } from 'node:child_process'
import { cpSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readCoverage } from '../scripts/coverage.ts'
import { commandLine } from './lab/built.ts'
import { scratchFolder } from './lab/scratch.ts'

/** What V8 recorded of a command, in a folder: of the built program, and of its sources. */
function record(...args: string[]) {
  const [built, source] = [scratchFolder(), scratchFolder()]
  const [env, ...rest] = commandLine(args, { NODE_V8_COVERAGE: built })
  execFileSync(env, rest)
  const plain = ['NODE_OPTIONS=', `NODE_V8_COVERAGE=${source}`]
  execFileSync('env', [...plain, process.execPath, 'src/main.ts', ...args])
  return { built, source }
}

const help = record('help')
const imported = record('import', 'test/fixtures/haproxy/gateway.cfg')

t.test('the built program covers the lines that its sources cover', async t => {
  for (const { built, source } of [help, imported])
    t.same(await readCoverage([built]), await readCoverage([source]))
  const files = await readCoverage([imported.built])
  const covered = (path: string) => files.find(file => file.path === path)!.covered
  t.ok(covered('src/import/words.ts') > 10)
  t.equal(covered('src/tunnel/tunnel.ts'), 0, 'what was not even loaded')
})

t.test('a line is covered when one process of several ran it', async t => {
  const sum = (files: Awaited<ReturnType<typeof readCoverage>>) =>
    files.reduce((sum, file) => sum + file.covered, 0)
  const [one, other, both] = [
    sum(await readCoverage([help.built])),
    sum(await readCoverage([imported.source])),
    sum(await readCoverage([help.built, imported.source])),
  ]
  t.ok(both > Math.max(one, other) && both < one + other, `${one} and ${other} make ${both}`)
})

t.test('a record that was cut off counts for nothing', async t => {
  const folder = scratchFolder()
  cpSync(help.built, folder, { recursive: true })
  writeFileSync(join(folder, 'cut.json'), '{"result":[{"url"')
  t.equal(readdirSync(folder).length, 2)
  t.same(await readCoverage([folder]), await readCoverage([help.built]))
})
