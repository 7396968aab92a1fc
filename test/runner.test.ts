import { copyFileSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { execute } from './lab/execute.ts'
import { scratchFolder } from './lab/scratch.ts'

const root = join(import.meta.dirname, '..')

/** Runs these test files as `npm test` does, without type check and lint; gives what is printed last. */
async function run(files: Record<string, string>): Promise<{ code: number | null; lines: string[] }> {
  const folder = scratchFolder()
  for (const name of ['node_modules', 'package.json']) symlinkSync(join(root, name), join(folder, name))
  copyFileSync(join(root, '.taprc'), join(folder, '.taprc'))
  mkdirSync(join(folder, 'test'))
  for (const [name, text] of Object.entries(files))
    writeFileSync(join(folder, 'test', name), `import t from 'tap'\n${text}`)
  // Nothing of this run's tap, which would take it for a part of itself.
  const environment = [
    'env',
    '-i',
    `PATH=${join(root, 'node_modules/.bin')}:${process.env.PATH}`,
    `HOME=${folder}`,
  ]
  const script = ['sh', '-c', `cd '${folder}' && exec node '${join(root, 'scripts/test.ts')}'`]
  const { code, stdout } = await execute([...environment, ...script])
  return { code, lines: stdout.trimEnd().split('\n') }
}

t.test('each failed test is named again above the counts', async t => {
  const { code, lines } = await run({
    'good.test.ts': "t.test('fine', async t => t.ok(true))\n",
    'bad.test.ts': `t.test('outer', async t => {
  t.ok(true, 'this is so')
  await t.test('inner', async t => t.equal(1, 2, 'one is two'))
})
t.equal(1, 3, 'one is three')
`,
    'thrown.test.ts': "t.test('it throws', async () => { throw new Error('no way') })\n",
  })
  t.equal(code, 1)
  // None of these tests runs anything of src/.
  const again = lines.slice(-5).filter(line => !line.includes('coverage'))
  t.same(again.slice(0, 3).sort(), [
    'FAIL  test/bad.test.ts > one is three',
    'FAIL  test/bad.test.ts > outer > inner > one is two',
    'FAIL  test/thrown.test.ts > it throws > no way',
  ])
  t.match(lines.at(-2), /^FAIL {2}coverage 0\.0 % of the lines of src\/, floor 95 %$/)
  t.equal(lines.at(-1), '2 passed, 4 failed')
})
