import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { podFiles } from '../init/made.ts'
import { command, startEnd } from '../lab/end.ts'
import { ready, seenAddress, startNginx, topology } from './topology.ts'

/** A pair that `init` wrote, as it stands but for the device's names: both ends of the tests are on one machine. */
const world = await topology()
t.teardown(() => world.lab.close())

const pair = join(world.lab.folder, 'pair')
const flags = ['--endpoint', '198.51.100.1:4500', '--forward', '80:8080', '--forward', '9000-9001']
const made = await command(world.gateway, 'init', pair, ...flags, '--target', '127.0.0.1')

/** The cluster's files as the chart mounts them. */
const pod = join(world.lab.folder, 'pod')
await mkdir(pod)
const { config, wgConf } = podFiles(pair)
await writeFile(join(pod, 'config.yaml'), config)
await writeFile(join(pod, 'wg0.conf'), wgConf, { mode: 0o600 })
const podFlags = ['--wg-conf', join(pod, 'wg0.conf')]

t.test('it says what to do next, and does nothing twice', async t => {
  t.equal(made.code, 0)
  t.match(made.output, 'let in 4500/udp, 80/tcp, 9000-9001/tcp')
  const again = await command(world.gateway, 'init', pair, ...flags, '--target', '127.0.0.1')
  t.match(again, { code: 1, output: /is there already/ })
  t.match(await command(world.gateway, 'init', pair, ...flags), {
    code: 2,
    output: /--target HOST is missing/,
  })
})

t.test('check finds nothing at either end', async t => {
  for (const args of [
    ['--config', join(pair, 'gateway/config.yaml')],
    ['--config', join(pod, 'config.yaml'), ...podFlags],
  ]) {
    const { code, output } = await command(world.gateway, 'check', ...args)
    t.equal(code, 0)
    t.match(output, /^\S+: valid$/, 'no warning')
  }
})

t.test('the two ends connect, and the service sees the client', async t => {
  await startNginx(world)
  await nameDevice(join(pair, 'gateway/config.yaml'), world.interfaces.gateway)
  await nameDevice(join(pod, 'config.yaml'), world.interfaces.cluster)
  const gateway = startEnd(world.gateway, join(pair, 'gateway'))
  await gateway.logged(line => line.msg === 'running')
  const cluster = startEnd(world.cluster, pod, { args: [...podFlags, '--admin', ':9586'] })
  await ready(gateway, cluster)
  for (const family of [4, 6] as const) {
    const { seen, real } = await seenAddress(world, family, 80)
    t.equal(seen, real, `IPv${family}`)
  }
})

async function nameDevice(file: string, name: string): Promise<void> {
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/^tunnel:\n/m, `tunnel:\n  interface: ${name}\n  stateDir: .\n`))
}
