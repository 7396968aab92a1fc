import { appendFileSync, cpSync, globSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { execute } from './execute.ts'
import { scratchFolder } from './scratch.ts'

const root = join(import.meta.dirname, '../..')

/** A copy of what the program is built from, and of what builds it for tests. */
const folder = scratchFolder()
for (const name of ['src', 'scripts/build.ts', 'test/lab/built.ts', 'package.json', 'package-lock.json'])
  cpSync(join(root, name), join(folder, name), { recursive: true })
symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
const main = join(folder, 'dist/main.js')

/** What a test does that starts the program. */
async function start(): Promise<string> {
  const script = `
    import { spawnSync } from 'node:child_process'
    import { commandLine } from ${JSON.stringify(join(folder, 'test/lab/built.ts'))}
    const [file, ...args] = commandLine(['help'])
    process.stdout.write(spawnSync(file, args).stdout)`
  const { code, stdout, stderr } = await execute([process.execPath, '--input-type=module', '--eval', script])
  if (code !== 0) throw new Error(stderr)
  return stdout
}

t.test('two tests at once that find nothing built: one builds, both run it', async t => {
  const outputs = await Promise.all([start(), start()])
  for (const output of outputs) t.match(output, /^Usage: wg-punchhole COMMAND/)
})

t.test('no file that is built needs two bytes in memory for each of its characters', async t => {
  const files = globSync(join(folder, 'dist/*.js'))
  t.ok(files.length > 0)
  // V8 keeps a text in one byte a character when all of them have one, else in two.
  const found = (file: string) => readFileSync(file, 'utf8').match(/.{0,40}[^\0-\xff].{0,40}/u)?.[0]
  for (const file of files)
    t.equal(found(file), undefined, `${file}: write it as a string, not in a html template`)
})

t.test('what is built is used as it is until a source changes, or it is gone', async t => {
  const { mtimeMs } = statSync(main)
  await start()
  t.equal(statSync(main).mtimeMs, mtimeMs, 'nothing has changed')
  appendFileSync(join(folder, 'src/node-version.ts'), "\nprocess.stdout.write('changed\\n')\n")
  t.match(await start(), /^changed\n/)
  const text = readFileSync(main)
  rmSync(join(folder, 'dist'), { recursive: true })
  await start()
  t.same(readFileSync(main), text)
})
