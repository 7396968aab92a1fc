import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import { command, keyPairs, startEnd } from '../lab/end.ts'
import { Download } from './download.ts'
import { ready, retry, topology, wgConf } from './topology.ts'

/**
 * Both ends have their files as Kubernetes mounts them, `config.yaml` and `wg0.conf` in one volume that changes as a
 * whole. One download goes through the tunnel from the first change to the last.
 */
const world = await topology()
t.teardown(() => world.lab.close())

type End = 'gateway' | 'cluster'
interface Files {
  readonly forwards: Readonly<Record<string, string>>
  readonly wgConf: string
}

const bytes = {
  gateway: '{ listen: ":9000", target: "10.1.10.2:9000" }',
  cluster: '{ listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }',
}
let version = 0

/** The kubelet's way: a folder of its own for each version, and the link ..data swapped. */
async function swap(end: End, { forwards, wgConf }: Files): Promise<void> {
  const folder = join(world.lab.folder, end)
  const data = `..v${++version}`
  const lines = Object.entries(forwards).map(([name, forward]) => `  ${name}: ${forward}\n`)
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces[end]}, stateDir: . }\n`
  await mkdir(join(folder, data), { recursive: true })
  await writeFile(join(folder, data, 'config.yaml'), `${tunnel}forwards:\n${lines.join('')}`)
  await writeFile(join(folder, data, 'wg0.conf'), wgConf, { mode: 0o600 })
  await symlink(data, join(folder, '..tmp'))
  await rename(join(folder, '..tmp'), join(folder, '..data'))
}

async function start(end: End) {
  await swap(end, { forwards: { bytes: bytes[end] }, wgConf: wgConf(world, end) })
  const folder = join(world.lab.folder, end)
  for (const file of ['config.yaml', 'wg0.conf']) await symlink(`..data/${file}`, join(folder, file))
  const running = startEnd(world[end], folder)
  await running.logged(line => line.msg === 'running')
  return running
}

const ends = { gateway: await start('gateway'), cluster: await start('cluster') }
await ready(ends.gateway, ends.cluster)
const download = await Download.begin(world, 9000)

/** Changes an end's files, and waits for what it says of them. */
async function change(end: End, files: Partial<Files>): Promise<Record<string, unknown>> {
  const from = ends[end].log.length
  await swap(end, { forwards: { bytes: bytes[end] }, wgConf: wgConf(world, end), ...files })
  return ends[end].logged(line => /^config (reloaded|refused)/.test(String(line.msg)), { from })
}

async function taken(t: Test, end: End, files: Partial<Files>): Promise<void> {
  t.match(await change(end, files), { msg: 'config reloaded' })
  await download.moves()
}

async function status(end: End): Promise<EndStatus> {
  const { output } = await command(world[end], 'status', '--json', '--url', 'http://127.0.0.1:9586')
  return JSON.parse(output)
}

async function peersOf(end: End): Promise<string[]> {
  return (await status(end)).tunnel!.peers.map(({ publicKey }) => publicKey)
}

const route = (to: string) => world.gateway.exec('ip', 'route', 'show', to)
const isOpen = (port: number) =>
  world.client.exec('bash', '-c', `exec 3<>/dev/tcp/203.0.113.1/${port}`).then(
    () => true,
    () => false,
  )

const third = keyPairs().cluster.publicKey
const withThird = `${wgConf(world, 'gateway')}[Peer]\nPublicKey = ${third}\nAllowedIPs = 10.1.12.0/24\n`
const toThird = '{ listen: ":9002", target: "10.1.12.1:9000" }'

t.test('a peer and a forward to it come in one swap, and go in another', async t => {
  // Ends that called each other at the same time shake hands again 5 s later (WireGuard's Rekey-Timeout).
  const lastHandshake = await retry(async () => {
    const { lastHandshake } = (await status('gateway')).tunnel!.peers[0]!
    if (Date.now() - Date.parse(lastHandshake!) < 6000) throw new Error(`the session is of ${lastHandshake}`)
    return lastHandshake
  })
  await taken(t, 'gateway', { wgConf: withThird, forwards: { bytes: bytes.gateway, more: toThird } })
  t.strictSame(await peersOf('gateway'), [world.keys.cluster.publicKey, third])
  t.match(await route('10.1.12.0/24'), new RegExp(`dev ${world.interfaces.gateway}`))
  t.ok(await isOpen(9002))
  t.match((await status('gateway')).health, {
    status: 'degraded',
    reasons: [{ code: 'no-handshake', peer: third }],
  })
  await taken(t, 'gateway', {})
  t.strictSame(await peersOf('gateway'), [world.keys.cluster.publicKey])
  t.equal(await route('10.1.12.0/24'), '')
  t.notOk(await isOpen(9002))
  t.equal((await status('gateway')).tunnel!.peers[0]!.lastHandshake, lastHandshake, 'the session is the same')
})

t.test('whatever is wrong with a swap, nothing of it is taken', async t => {
  const forwards = { bytes: bytes.gateway, more: toThird }
  const config = 'config refused, the old one goes on'
  for (const [what, files, error] of [
    ['wg0.conf', { forwards, wgConf: `${withThird}Endpoint = nowhere\n` }, /wg0\.conf:\d+:\d+: error/],
    ['a forward', { wgConf: withThird, forwards: { ...forwards, bad: '{ listen: 1 }' } }, /config\.yaml:/],
    [
      'an address that this host does not have',
      {
        wgConf: withThird,
        forwards: { ...forwards, bad: '{ listen: "192.0.2.77:80", target: "10.1.12.1:80" }' },
      },
      /cannot listen on 192\.0\.2\.77:80/,
    ],
  ] as const) {
    const line = await change('gateway', files)
    t.match(line, { msg: config, level: 'error' }, what)
    t.match((line.errors as string[]).join('\n'), error)
    await download.moves()
    t.strictSame(await peersOf('gateway'), [world.keys.cluster.publicKey])
    t.equal(await route('10.1.12.0/24'), '')
    t.notOk(await isOpen(9002))
    t.match((await status('gateway')).health, { status: 'degraded', reasons: [{ code: 'config-rejected' }] })
  }
  await taken(t, 'gateway', {})
  t.match((await status('gateway')).health, { status: 'ready', reasons: [] })
})

t.test('forwards come, change and go beside the one that is used', async t => {
  const to = (port: number, listen = 9003) => `{ listen: ":${listen}", target: "10.1.10.2:${port}" }`
  await taken(t, 'gateway', { forwards: { other: to(1), bytes: bytes.gateway } })
  t.ok(await isOpen(9003))
  await taken(t, 'gateway', { forwards: { bytes: bytes.gateway, other: to(2, 9004) } })
  t.strictSame([await isOpen(9003), await isOpen(9004)], [false, true])
  await taken(t, 'gateway', {})
  t.notOk(await isOpen(9004))
})

t.test('the gateway moves to another address', async t => {
  /** The status is sampled once a second. */
  const called = (wanted: string) =>
    retry(async () => {
      const { endpoint } = (await status('cluster')).tunnel!.peers[0]!
      if (endpoint !== wanted) throw new Error(`packets go to ${endpoint}`)
    })
  // In another network: from a second address in the same one the answers would come from the first.
  await world.gateway.exec('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'to-cluster')
  await world.cluster.exec('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'to-gateway')
  await taken(t, 'cluster', { wgConf: wgConf(world, 'cluster').replace('198.51.100.1:', '192.0.2.1:') })
  await called('192.0.2.1:51820')
  // As with a move it is gone: else the gateway may still call from there, and be answered there.
  await world.gateway.exec('ip', 'address', 'del', '192.0.2.1/24', 'dev', 'to-cluster')
  await taken(t, 'cluster', {})
  await called('198.51.100.1:51820')
})

t.test("our key changes, and at the other end a peer's", async t => {
  const { privateKey, publicKey } = keyPairs().gateway
  const ours = wgConf(world, 'gateway').replace(world.keys.gateway.privateKey, privateKey)
  t.match(await change('gateway', { wgConf: ours }), { msg: 'config reloaded' })
  await taken(t, 'cluster', {
    wgConf: wgConf(world, 'cluster').replace(world.keys.gateway.publicKey, publicKey),
  })
  t.equal((await status('gateway')).tunnel!.publicKey, publicKey)
  t.strictSame(await peersOf('cluster'), [publicKey])
})

t.test('the download came through it all, and no wireguard-go was restarted', async t => {
  const { sent, received } = await download.finish()
  t.strictSame(received, sent)
  t.equal(received.end, 'complete')
  for (const end of ['gateway', 'cluster'] as const)
    t.match((await status(end)).tunnel!.process, { state: 'running', restarts: 0 })
})
