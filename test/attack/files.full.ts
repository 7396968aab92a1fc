import { execFileSync } from 'node:child_process'
import { renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { leftBehind, nothingLeft } from '../e2e/remains.ts'
import { endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { Lab, type Running } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'
import { hungMount } from './hung-mount.ts'

/**
 * Files that never answer, as on a network mount whose server is away: no reload, but all else, and an end that ends. A
 * hung call keeps its thread, and what it waits for in the kernel no program can end.
 */
const lab = await Lab.create(`h${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('end')
const name = `${lab.id}w`
const keys = keyPairs()
const wgConf = `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`

async function folderOf(end: string, tunnel = ''): Promise<string> {
  const config = `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: ${tunnel || '.'} }
forwards:
  web: { listen: ":8080", target: "10.1.10.2:80" }
  named: { listen: ":8081", target: "localhost:9" }
drainTimeout: 10m
`
  return await endFolder(lab, end, { config, wgConf })
}

/** Puts a file that hangs in the place of this one, as one step. */
function hang(file: string, folder: string): void {
  symlinkSync(join(folder, 'file'), `${file}.new`)
  renameSync(`${file}.new`, file)
}

/** Puts a FIFO over a file of /etc, for one command. */
function fifoAt(folder: string, file: string): readonly string[] {
  const pipe = join(folder, file)
  execFileSync('mkfifo', [pipe])
  return ['sh', '-c', `mount --bind '${pipe}' '/etc/${file}' && exec "$@"`, 'sh']
}

const isRefused = (line: Record<string, unknown>) => line.msg === 'config refused, the old one goes on'

async function answers(t: Test, running: Running): Promise<void> {
  for (const path of ['/livez', '/metrics', '/status.json'])
    await host.exec('curl', '--silent', '--fail', '--max-time', '2', `http://127.0.0.1:9586${path}`)
  t.ok(running.child.exitCode === null, 'it lives, and answers')
}

t.test(
  'a key file that hangs: refused after 5 s, all else goes on, and the reload when it is back',
  async t => {
    const folder = await folderOf('hung-key')
    const mount = hungMount(folder)
    const end = startEnd(host, folder, { wrapper: mount.wrapper })
    await end.logged(line => line.msg === 'running')
    hang(join(folder, 'wg0.conf'), mount.folder)
    const { errors } = await end.logged(isRefused)
    t.match(errors, [/wg0\.conf did not answer within 5 s: its file system hangs/])
    await answers(t, end)
    // However often it is asked again, no more is lost.
    for (let i = 0; i < 5; i++) {
      const from = end.log.length
      const began = performance.now()
      process.kill(end.pid, 'SIGHUP')
      await end.logged(isRefused, { from })
      t.ok(performance.now() - began < 2000, 'at once')
    }
    await answers(t, end)
    const from = end.log.length
    mount.end()
    rmSync(join(folder, 'wg0.conf'))
    writeFileSync(join(folder, 'wg0.conf'), `${wgConf}# back\n`, { mode: 0o600 })
    await end.logged(line => line.msg === 'config reloaded', { from })
    end.child.kill('SIGTERM')
    t.strictSame(await end.exited, { code: 0, signal: null })
    await nothingLeft(t, host, name)
  },
)

t.test('with files that hang the end ends, at the first signal', async t => {
  const folder = await folderOf('hung-stop')
  const mount = hungMount(folder)
  const end = startEnd(host, folder, { wrapper: mount.wrapper })
  await end.logged(line => line.msg === 'running')
  hang(join(folder, 'wg0.conf'), mount.folder)
  await end.logged(isRefused)
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
  mount.end()
})

t.test('while it drains and its files hang, a second signal ends it within a second', async t => {
  const folder = await folderOf('hung-drain')
  const mount = hungMount(folder)
  const end = startEnd(host, folder, { wrapper: mount.wrapper })
  await end.logged(line => line.msg === 'running')
  await host.run(async () => {
    const { connect } = await import('node:net')
    await new Promise<void>(resolve => connect(8080, '127.0.0.1', () => resolve()).on('error', () => {}))
  })
  hang(join(folder, 'config.yaml'), mount.folder)
  hang(join(folder, 'wg0.conf'), mount.folder)
  await end.logged(isRefused)
  end.child.kill('SIGTERM')
  await end.logged(line => line.msg === 'draining')
  const began = performance.now()
  end.child.kill('SIGINT')
  t.strictSame(await end.exited, { code: 1, signal: null })
  const took = performance.now() - began
  t.ok(took < 1500, `${took.toFixed(0)} ms, of a second and what a busy machine adds`)
  t.same(await leftBehind(host, name), [])
  mount.end()
})

t.test('a state folder that hangs holds up neither the start for good nor its end', async t => {
  const folder = await folderOf('hung-state', './hung/state')
  const mount = hungMount(folder)
  const early = startEnd(host, folder, { wrapper: mount.wrapper })
  await early.logged(line => line.msg === 'health changed')
  early.child.kill('SIGTERM')
  t.strictSame(await early.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
  mount.end()
  const again = hungMount(folder)
  const end = startEnd(host, folder, { wrapper: again.wrapper })
  await end.logged(line => line.msg === 'running')
  await answers(t, end)
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
  await nothingLeft(t, host, name)
  again.end()
})

t.test(
  'a FIFO where resolv.conf was is an error at the start: Node would wait for it as it loads',
  async t => {
    const folder = await folderOf('fifo-resolv')
    const end = startEnd(host, folder, { wrapper: fifoAt(folder, 'resolv.conf') })
    t.strictSame(await end.exited, { code: 1, signal: null })
    t.match(end.lines.at(-1), /wg-punchhole: \/etc\/resolv\.conf is a pipe \(FIFO\)/)
  },
)

t.test('a FIFO where hosts was: names fail, nothing hangs', async t => {
  const folder = await folderOf('fifo-hosts')
  const end = startEnd(host, folder, { wrapper: fifoAt(folder, 'hosts') })
  await end.logged(line => line.msg === 'running')
  const wanted = /no address for localhost \(\/etc\/hosts is a pipe \(FIFO\)/
  const status = () => host.exec('curl', '--silent', 'http://127.0.0.1:9586/status.json')
  // Nobody looks it up before somebody comes.
  await host.exec('curl', '--silent', 'http://127.0.0.1:8081').catch(() => {})
  t.match(await retry(async () => wanted.exec(await status())![0]), wanted)
  await answers(t, end)
  end.child.kill('SIGTERM')
  t.strictSame(await end.exited, { code: 0, signal: null })
})
