import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { transform } from 'esbuild'
import t, { type Test } from 'tap'
import { complaintOf } from '../src/node-version.ts'
import { commandLine, program } from './lab/built.ts'
import { execute, type Result } from './lab/execute.ts'

t.test('24.12 is the oldest Node, as package.json says', async t => {
  const { engines } = JSON.parse(readFileSync('package.json', 'utf8'))
  t.equal(engines.node, '>=24.12')
  for (const version of ['24.12.0', '24.21.0', '25.0.0', '100.0.0', process.versions.node])
    t.equal(complaintOf(version), undefined, version)
  for (const version of ['0.10.48', '12.22.9', '18.20.4', '20.20.2', '23.99.0', '24.2.0', '24.11.9'])
    t.equal(
      complaintOf(version),
      `Node ${version} is too old, 24.12 or newer is needed. Install one, and put its folder first in PATH`,
    )
})

const commands = [['run'], ['version'], ['health'], []]

function tellsSo(t: Test, { code, signal, stdout, stderr }: Result, version: string): void {
  t.same({ code, signal, stdout, stderr }, { code: 1, signal: null, stdout: '', stderr: tells(version) })
}

function tells(version: string): string {
  return `wg-punchhole: ${complaintOf(version)}\n`
}

t.test('what is read before the version is asked for is understood by Node 12', async t => {
  const read = new Set([program])
  for (const file of read) {
    const text = readFileSync(file, 'utf8')
    for (const [, imported] of text.matchAll(/\b(?:import|from)\s*"(\.[^"]+)"/g))
      read.add(join(dirname(file), imported!))
    // Of newer words, it would have to put others in their place, or refuse.
    const [plain, older] = await Promise.all([transform(text), transform(text, { target: 'node12.22' })])
    t.equal(older.code, plain.code, file)
  }
  t.ok(read.size <= 2, [...read].join(' '))
})

t.test('the built program says so in one line, whatever the command', async t => {
  const pretend = `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })`
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(pretend)}` }
  for (const command of commands) tellsSo(t, await execute(commandLine(command, env)), '20.20.2')
})

/** Node that the machine has beside that of node_modules, and that is too old. */
const old = ['/usr/local/bin/node', '/usr/bin/node'].flatMap(node => {
  if (!existsSync(node)) return []
  const version = spawnSync('env', ['-u', 'NODE_OPTIONS', node, '--version'], { encoding: 'utf8' }).stdout
  return complaintOf(version.slice(1)) === undefined ? [] : { node, version: version.slice(1).trim() }
})

t.test('a real one', { skip: old.length === 0 && 'no Node of this machine is too old' }, async t => {
  // The last of two values counts.
  for (const { node, version } of old)
    for (const command of commands)
      tellsSo(
        t,
        await execute(['env', 'NODE_OPTIONS=', `PATH=${dirname(node)}:/usr/bin:/bin`, program, ...command]),
        version,
      )
})
