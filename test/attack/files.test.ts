import { execFileSync, spawn } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { findUrl } from '../../src/admin/client.ts'
import { writeRunFile } from '../../src/admin/run-file.ts'
import { readText } from '../../src/config/file.ts'
import { Endpoints } from '../../src/tunnel/endpoints.ts'
import { recordingLog } from '../fixtures/log.ts'
import { commandLine, startEnd } from '../lab/end.ts'
import { execute } from '../lab/execute.ts'
import { Lab } from '../lab/lab.ts'
import { Running } from '../lab/running.ts'
import { scratchFolder } from '../lab/scratch.ts'

/** What is no file where a file is expected: a plain open(2) of a FIFO waits for a writer, with a thread of Node's few. */
const lab = await Lab.create(`f${process.pid}`)
t.teardown(() => lab.close())
const config = 'forwards: { web: { listen: "127.0.0.1:8080", target: "127.0.0.1:9" } }\n'

function fifo(path: string): string {
  rmSync(path, { force: true })
  execFileSync('mkfifo', [path])
  return path
}

t.test('a FIFO where the config was, again and again: refused, and all else goes on', async t => {
  const host = await lab.host('end')
  const folder = scratchFolder()
  const file = join(folder, 'config.yaml')
  writeFileSync(file, config)
  const end = startEnd(host, folder)
  await end.logged(line => line.msg === 'running')
  for (let i = 0; i < 6; i++) {
    const from = end.log.length
    fifo(file)
    process.kill(end.pid, 'SIGHUP')
    const refused = await end.logged(line => line.msg === 'config refused, the old one goes on', { from })
    t.match(refused.errors, [
      /config\.yaml is a pipe \(FIFO\), which can be read once; put a file in its place/,
    ])
  }
  for (const path of ['/livez', '/metrics'])
    t.ok(await host.exec('curl', '--silent', '--fail', `http://127.0.0.1:9586${path}`), path)
  const from = end.log.length
  rmSync(file)
  writeFileSync(file, `${config}\n`)
  await end.logged(line => line.msg === 'config reloaded', { from })
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
})

t.test('what is no file is refused with a word for what it is', async t => {
  const folder = scratchFolder()
  const socket = createServer().listen(join(folder, 'socket'))
  t.teardown(() => socket.close())
  for (const [path, reason, pipes] of [
    [fifo(join(folder, 'fifo')), /is a pipe \(FIFO\), which can be read once/, false],
    [join(folder, 'fifo'), /is a pipe that nobody writes to; name a file/, true],
    [join(folder, 'socket'), /is a socket or a device, no file; name the right file/, false],
    ['/dev/zero', /is a device, no file; name the right file/, false],
    ['/dev/tty', /is a (device|socket or a device), no file/, true],
  ] as const) {
    const { reason: said = '' } = await readText(path, { pipes })
    t.match(said, reason, path)
    t.ok(said.startsWith(path), said)
  }
  t.match(await readText('/proc/self/status'), { text: /^Name:/ }, 'the files of the kernel have no size')
})

t.test('what is read once may be a pipe', async t => {
  const [first, ...rest] = commandLine(['check', '--config', '/dev/stdin'])
  const checked = execFileSync('sh', ['-c', '(sleep 0.1; cat) | exec "$@"', 'sh', first, ...rest], {
    input: config,
    encoding: 'utf8',
  })
  t.equal(checked, '/dev/stdin: valid\n')
  const cfg = 'frontend a\n  bind :1\n  default_backend b\nbackend b\n  server s 192.0.2.1:1\n'
  const imported = execFileSync('bash', ['-c', '"$@" <(cat)', 'bash', ...commandLine(['import'])], {
    input: cfg,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  t.match(imported, /192\.0\.2\.1/)
  const pubkey = await execute(['sh', '-c', 'exec "$@" </dev/zero', 'sh', ...commandLine(['pubkey'])])
  t.match([pubkey.code, pubkey.stderr], [2, /stdin holds no private key/], 'an endless stdin')
})

t.test('a pipe at the start of an end is no file to follow', async t => {
  const host = await lab.host('piped')
  const file = join(scratchFolder(), 'config.yaml')
  writeFileSync(file, config)
  const script = `exec "$@" --config <(cat '${file}')`
  const end = host.start('bash', ['-c', script, 'bash', ...commandLine(['run'])])
  await end.logged(line => line.msg === 'running')
  // By now its files would have been looked at once.
  await new Promise(resolve => setTimeout(resolve, 300))
  t.notMatch(end.output, 'config refused')
  process.kill(end.pid, 'SIGHUP')
  const refused = await end.logged(line => line.msg === 'config refused, the old one goes on')
  t.match(refused.errors, [/is a pipe \(FIFO\), which can be read once/])
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
})

t.test('a pipe that says nothing: the first SIGTERM ends the start', async t => {
  const script = 'sleep 30 | { "$@"; echo "status $?"; }'
  const line = ['-c', script, 'sh', ...commandLine(['run', '--config', '/dev/stdin'])]
  const child = spawn('sh', line, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => process.kill(-child.pid!, 'SIGKILL'))
  const running = new Running(child)
  process.kill(await readerIn(child.pid!), 'SIGTERM')
  while (!running.output.includes('status')) await new Promise(resolve => setTimeout(resolve, 20))
  t.equal(running.output, 'status 0')
})

t.test('FIFOs among the files that an end keeps', async t => {
  const folder = scratchFolder()
  fifo(join(folder, 'x.admin.json'))
  t.equal(await findUrl(folder), 'http://127.0.0.1:9586', 'a run file')
  fifo(join(folder, 'wg0.admin.json.tmp'))
  await writeRunFile(folder, 'wg0', { url: 'http://127.0.0.1:1', pid: process.pid })
  t.equal(await findUrl(folder), 'http://127.0.0.1:1', 'the draft of one')
  fifo(join(folder, 'wg0.endpoints.json'))
  const { log, lines } = recordingLog()
  const state = { stateDir: folder, interface: 'wg0', publicKey: 'x', peers: [] }
  const endpoints = new Endpoints(state, { log })
  await endpoints.load()
  t.match(lines.at(-1)?.[1], { error: /is a pipe \(FIFO\)/ }, 'the state')
})

/** The process of this group that has opened its stdin once more. */
async function readerIn(group: number): Promise<number> {
  for (;;) {
    for (const pid of (await execute(['pgrep', '--pgroup', `${group}`])).stdout.trim().split('\n')) {
      const { stdout } = await execute(['sh', '-c', `readlink /proc/${pid}/fd/*`])
      const [stdin, , , ...others] = stdout.split('\n')
      if (others.includes(stdin!)) return Number(pid)
    }
    await new Promise(resolve => setTimeout(resolve, 20))
  }
}
