import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { keyPair, program } from '../lab/end.ts'
import { type Host, Lab } from '../lab/lab.ts'
import { Pipe } from '../lab/pipe.ts'
import { scratchFolder } from '../lab/scratch.ts'

/** What the program writes is read slowly, by nobody, by somebody who goes, or goes to a disk that is full. */

const lab = await Lab.create()
t.teardown(() => lab.close())
const admin = 'http://127.0.0.1:9586'
const plainEnv = { ...process.env, NODE_V8_COVERAGE: '' }

/** `wg-punchhole run` whose stdout is the pipe, on a host of its own with a target that answers; port 80 leads to it. */
async function startEnd(t: Test, name: string, { pipe, drainTimeout }: { pipe: Pipe; drainTimeout: string }) {
  const host = await lab.host(name)
  await host.run(async () => {
    const { createServer } = await import('node:net')
    createServer(socket => socket.on('error', () => {}).end('pong')).listen(8080, '127.0.0.1')
  })
  const config = join(scratchFolder(), 'config.yaml')
  writeFileSync(
    config,
    `forwards: { ${'web'.repeat(21)}: { listen: "127.0.0.1:80", target: "127.0.0.1:8080", sendProxy: false } }
drainTimeout: ${drainTimeout}
log: { level: debug }
`,
  )
  const child = spawn(
    'ip',
    ['netns', 'exec', host.namespace, process.execPath, program, 'run', '--config', config],
    { stdio: ['ignore', pipe.writeEnd, 'inherit'], env: plainEnv },
  )
  pipe.spawned()
  t.teardown(() => child.kill('SIGKILL'))
  const exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }))
  while ((await ask(host, '/startupz')).status !== 200) {
    if (child.exitCode !== null) throw new Error('it ended')
    await sleep(50)
  }
  return { host, child, exited }
}

function ask(host: Host, path: string): Promise<{ status: number; body: string }> {
  return host.run(async url => {
    try {
      const answer = await fetch(url)
      return { status: answer.status, body: await answer.text() }
    } catch {
      return { status: 0, body: '' }
    }
  }, `${admin}${path}`)
}

/** So many connections, 50 at a time; gives how many were answered. */
function pings(host: Host, count: number): Promise<number> {
  return host.run(async count => {
    const { connect } = await import('node:net')
    const { text } = await import('node:stream/consumers')
    let left = count
    let answered = 0
    const several = async () => {
      while (left-- > 0) if ((await text(connect(80, '127.0.0.1')).catch(() => '')) === 'pong') answered++
    }
    await Promise.all(Array.from({ length: 50 }, several))
    return answered
  }, count)
}

/** The log as objects; fails on a line that is cut. */
function linesOf(t: Test, log: string): { msg: string; lines?: number }[] {
  t.equal(log.at(-1), '\n', 'no line is cut')
  return log
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
}

t.test('nobody reads the log: clients are served, what was dropped is told, in a metric too', async t => {
  const pipe = new Pipe()
  const { host, child, exited } = await startEnd(t, 'stuck', { pipe, drainTimeout: '30s' })
  const droppedNow = async () => JSON.parse((await ask(host, '/status.json')).body).logLinesDropped
  t.equal(await droppedNow(), 0)
  let clients = 0
  // 1 MiB of lines is kept, and each has the name of its forward.
  while ((await droppedNow()) === 0 && clients < 50_000) {
    t.equal(await pings(host, 1_000), 1_000)
    clients += 1_000
  }
  const dropped = await droppedNow()
  t.ok(dropped > 0)
  t.match((await ask(host, '/metrics')).body, `\nwg_punchhole_log_lines_dropped_total ${dropped}\n`)
  await pipe.read({ until: log => log.includes('log lines dropped') })
  t.equal(await pings(host, 10), 10)
  child.kill('SIGTERM')
  const lines = linesOf(t, await pipe.read())
  t.same(await exited, { code: 0, signal: null })
  const told = lines.filter(({ msg }) => msg === 'log lines dropped')
  t.match(told, [{ level: 'warn', lines: Number, error: 'EAGAIN' }])
  t.ok(told[0]!.lines! >= dropped)
  const ended = lines.filter(({ msg }) => msg === 'connection ended').length
  t.ok(ended + told[0]!.lines! >= clients + 10, `${ended} and ${told[0]!.lines} of ${clients + 10}`)
})

t.test('SIGTERM: a slow reader gets every line', async t => {
  const pipe = new Pipe()
  const { host, child, exited } = await startEnd(t, 'slow', { pipe, drainTimeout: '60s' })
  t.equal(await pings(host, 1_000), 1_000)
  child.kill('SIGTERM')
  const lines = linesOf(t, await pipe.read({ bytes: 4_000, every: 5 }))
  t.same(await exited, { code: 0, signal: null })
  t.equal(lines.filter(({ msg }) => msg === 'connection ended').length, 1_000)
  for (const last of ['draining', 'listeners closed'])
    t.ok(
      lines.some(({ msg }) => msg === last),
      last,
    )
  t.notOk(lines.some(({ msg }) => msg === 'log lines dropped'))
})

t.test('SIGTERM: nobody reads, and it ends within drainTimeout and a second', async t => {
  const pipe = new Pipe()
  const { host, child, exited } = await startEnd(t, 'never', { pipe, drainTimeout: '1s' })
  t.equal(await pings(host, 1_000), 1_000)
  child.kill('SIGTERM')
  t.same(await Promise.race([exited, sleep(20_000, 'it did not end')]), { code: 0, signal: null })
  linesOf(t, await pipe.read())
})

/** A host with an end of 330 forwards, for output that no pipe takes at once. */
const host = await lab.host('big')
const folder = scratchFolder()
const config = join(folder, 'config.yaml')
const ports = Array.from({ length: 330 }, (_, i) => 20_000 + i)
writeFileSync(
  config,
  `forwards:
${ports.map(port => `  web${port}: { listen: "127.0.0.1:${port}", target: "127.0.0.1:80", check: false }\n`).join('')}`,
)
const warned = join(folder, 'warned.yaml')
writeFileSync(
  warned,
  'tunnel: { wgConf: wg0.conf }\nforwards: { web: { listen: ":80", target: "10.1.10.2:80" } }\n',
)
const peers = Array.from(
  { length: 1_000 },
  () => `[Peer]\nPublicKey = ${randomBytes(32).toString('base64')}\n`,
)
writeFileSync(
  join(folder, 'wg0.conf'),
  `[Interface]\nPrivateKey = ${keyPair().privateKey}\nAddress = 10.1.10.1\n${peers.join('')}`,
  { mode: 0o600 },
)
const haproxy = join(folder, 'haproxy.cfg')
writeFileSync(
  haproxy,
  `defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${ports.map(port => `frontend web${port}\n  bind :${port}\n  default_backend back${port}\nbackend back${port}\n  server s 10.1.10.2:${port} send-proxy-v2\n`).join('')}`,
)
const end = host.start(process.execPath, [program, 'run', '--config', config], { env: plainEnv })
await end.logged(({ msg }) => msg === 'running')

const commands = [
  ['check', '--config', warned],
  ['import', haproxy],
  ['status', '--json', '--url', admin],
  ['doctor', '--json', '--url', admin, '--config', config],
]

/** Starts a command of the program on that host. */
function run(
  args: readonly string[],
  stdout: number | 'pipe',
  stderr: number | 'ignore' | 'pipe' = 'ignore',
) {
  const child = spawn('ip', ['netns', 'exec', host.namespace, process.execPath, program, ...args], {
    stdio: ['ignore', stdout, stderr],
    env: plainEnv,
  })
  return { child, exited: once(child, 'exit').then(([code]) => code as number | null) }
}

/** Its output as a file, with its exit status. */
async function intoFile(args: readonly string[]) {
  const file = join(scratchFolder(), 'out')
  const fd = openSync(file, 'w')
  const { exited } = run(args, fd)
  closeSync(fd)
  return { code: await exited, output: readFileSync(file, 'latin1') }
}

t.test('a command whose output is read slowly loses nothing', async t => {
  const each = commands.map(async args => {
    const whole = await intoFile(args)
    // More than a pipe holds; `check` never says so much.
    const least = args[0] === 'check' ? 2_000 : 65_536
    t.ok(whole.output.length > least, `${args[0]}: ${whole.output.length} bytes`)
    const pipe = new Pipe()
    const { exited } = run(args, pipe.writeEnd)
    pipe.spawned()
    await sleep(300)
    const read = await pipe.read({ bytes: 8_000, every: 1 })
    t.equal(await exited, whole.code, `${args[0]}: the same exit status`)
    // Times and counts of one moment and the next.
    const timeless = (output: string) => output.replaceAll(/\d+/g, '0')
    const isWhole = timeless(read) === timeless(whole.output)
    t.ok(isWhole, `${args[0]}: read ${read.length} of ${whole.output.length} bytes`)
  })
  await Promise.all(each)
})

t.test('its errors neither', async t => {
  const wrong = join(folder, 'wrong.yaml')
  const forwards = ports.map(port => `  web${port}: { listen: nowhere, target: 1 }\n`)
  writeFileSync(wrong, `forwards:\n${forwards.join('')}`)
  // Not Node's own pipe: what nobody has read of that is thrown away when the child exits.
  const pipe = new Pipe()
  const { exited } = run(['check', '--config', wrong], 'pipe', pipe.writeEnd)
  pipe.spawned()
  await sleep(300)
  const stderr = await pipe.read({ bytes: 8_000, every: 1 })
  t.equal(await exited, 3)
  const lines = stderr.trimEnd().split('\n')
  t.equal(lines.length, 21)
  t.match(lines.at(-1), `and ${2 * ports.length - 20} more errors`)
})

t.test('a reader that goes is no failure', async t => {
  const each = [...commands, ['status', '--watch', '--url', admin]].map(async args => {
    const { child, exited } = run(args, 'pipe', 'pipe')
    const stderr = text(child.stderr!)
    await once(child.stdout!, 'readable')
    child.stdout!.destroy()
    // Of doctor: what it found.
    t.equal(await exited, args[0] === 'doctor' ? 1 : 0, args.join(' '))
    t.equal(await stderr, '')
  })
  await Promise.all(each)
})

t.test('a full disk is an error, said and told by the exit status', async t => {
  const small = scratchFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small])
  t.teardown(() => execFileSync('umount', ['--lazy', small]))
  for (const path of ['/dev/full', join(small, 'out')]) {
    const fd = openSync(path, 'w')
    const { child, exited } = run(['import', haproxy], fd, 'pipe')
    closeSync(fd)
    const stderr = await text(child.stderr!)
    t.equal(await exited, 1, path)
    t.match(stderr, /^wg-punchhole: cannot write to stdout: ENOSPC: no space left on device.*\n$/)
  }
})
