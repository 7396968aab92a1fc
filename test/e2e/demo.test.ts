import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { processesWith } from './remains.ts'

const root = join(import.meta.dirname, '../..')
const script = join(root, 'scripts/demo.ts')
let demos = 0

/** A demo in a process group of its own, so that it can be sent what Ctrl-C sends. */
function demo(t: Test, ...flags: string[]) {
  // All its processes have it in their environment, but for wireguard-go, which has the interface's name.
  const mark = `WG_PUNCHHOLE_DEMO_TEST=${process.pid}-${demos++}`
  const [name, value] = mark.split('=')
  const child = spawn(process.execPath, [script, ...flags], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, [name!]: value },
  })
  const lines: string[] = []
  const output = createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  const exited = once(child, 'close')
  const ctrlC = () => process.kill(-child.pid!, 'SIGINT')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  return { id: `wgd${child.pid}`, mark, lines, output, exited, ctrlC }
}

async function nothingLeft(t: Test, { id, mark }: ReturnType<typeof demo>): Promise<void> {
  const { stdout: links } = await promisify(execFile)('ip', ['link', 'show'])
  t.notMatch(links, id, 'no interface')
  const names = ['/run/netns', '/run/wireguard', tmpdir()].flatMap(folder => {
    try {
      return readdirSync(folder)
    } catch {
      return []
    }
  })
  t.strictSame(
    names.filter(name => name.startsWith(id)),
    [],
    'no namespace, socket or file',
  )
  t.strictSame([...processesWith(mark), ...processesWith(id)], [], 'no process')
}

t.test("--once prints the client's real address last, and leaves nothing", async t => {
  const running = demo(t, '--once')
  t.strictSame(await running.exited, [0, null])
  t.equal(running.lines.at(-1), "The web server saw the client's real address: 203.0.113.7")
  t.match(
    running.lines.join('\n'),
    /gateway end .*writes PROXY v2.*wireguard tunnel.*cluster end.*web server/s,
  )
  await nothingLeft(t, running)
})

t.test('without --once it stays up until Ctrl-C', async t => {
  const running = demo(t)
  for await (const line of running.output) if (line.includes('the cluster end  ')) break
  t.match(running.lines.join('\n'), 'http://198.18.0.2:9586/status.json')
  const ready = await fetch('http://198.18.0.6:9586/readyz')
  t.equal(ready.status, 200)
  t.match(await (await fetch('http://198.18.0.2/')).json(), { source: { address: '198.18.0.1' } })
  running.ctrlC()
  t.strictSame(await running.exited, [0, null])
  await nothingLeft(t, running)
})

for (const step of ['Laying', 'Starting', 'Making', 'Sending'])
  t.test(`Ctrl-C, twice, at the step "${step} …" leaves nothing`, async t => {
    const running = demo(t, '--once')
    running.output.on('line', line => {
      if (!line.startsWith(step)) return
      running.ctrlC()
      setImmediate(running.ctrlC)
    })
    t.strictSame(await running.exited, [1, null])
    await nothingLeft(t, running)
  })

t.test('without root it says what it needs', async t => {
  const nobody = ['--reuid=65534', '--regid=65534', '--clear-groups']
  const env = { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' }
  for (const commandLine of [
    [process.execPath, script, '--once'],
    ['bash', join(root, 'scripts/setup.sh'), 'demo'],
  ]) {
    const child = spawn('setpriv', [...nobody, ...commandLine], { env, cwd: '/' })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (output += chunk))
    t.strictSame(await once(child, 'close'), [1, null])
    t.match(output, /needs root, for network namespaces.*sudo/)
  }
})
