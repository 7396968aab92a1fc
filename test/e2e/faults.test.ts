import { ok } from 'node:assert/strict'
import { readFile, symlink, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import { generatePresharedKey } from '../../src/config/keys.ts'
import { command, startEnd } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { secret } from '../lab/secrets.ts'
import { Download } from './download.ts'
import { processesWith } from './remains.ts'
import { ready, retry, startOurs, topology } from './topology.ts'

/** What dies, and what comes back by itself. Both ends are ours; the world is that of topology.ts. */
const world = await topology({ presharedKey: secret(generatePresharedKey()) })
t.teardown(() => world.lab.close())

const wireguardGo = join(world.lab.folder, 'wireguard-go')
const realWireguardGo = join(import.meta.dirname, '../../native/bin/wireguard-go')
await symlink(realWireguardGo, wireguardGo)

const configs = {
  gateway: `forwards:
  bytes: { listen: ":9000", target: "10.1.10.2:9000" }
  closed: { listen: ":9001", target: "10.1.10.2:9001" }
`,
  cluster: `forwards:
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
  closed: { listen: "tunnel:9001", target: "127.0.0.1:9001" }
log: { level: debug }
`,
}

/** Where the gateway keeps the cluster end's address, a few seconds behind. */
const endpointFile = join(world.lab.folder, 'gateway', `${world.interfaces.gateway}.endpoints.json`)

/** Both ends of an otherwise quiet world. */
type End = 'gateway' | 'cluster'
const ends: Partial<Record<End, Running>> = {}

async function start(end: End): Promise<Running> {
  const options = { env: { WG_PUNCHHOLE_WIREGUARD_GO: wireguardGo } }
  ends[end] = await startOurs(world, end, configs[end], options)
  return ends[end]
}

const url = 'http://127.0.0.1:9586'

async function status(end: End): Promise<EndStatus> {
  const { output } = await command(world[end], 'status', '--json', '--url', url)
  return JSON.parse(output)
}

/** Asserts what `health` and /readyz say: the exit status, and the codes. */
async function health(t: Test, end: End, verdict: EndStatus['health']['status'], codes: string[]) {
  const { code, output } = await command(world[end], 'health', '--url', url)
  const report: EndStatus['health'] = JSON.parse(output)
  t.equal(code, verdict === 'unready' ? 1 : 0)
  t.equal(report.status, verdict)
  t.strictSame(
    report.reasons.map(reason => reason.code),
    codes,
  )
  const http = await world[end].exec('curl', '-s', '-w', '%{http_code}', `${url}/readyz`)
  t.match(http, verdict === 'unready' ? /503$/ : /200$/)
  t.equal((await command(world[end], 'health', '--live', '--url', url)).code, 0, 'it lives')
}

async function pidOf(end: End): Promise<number> {
  return (await status(end)).tunnel!.process.pid!
}

/** A download from its first byte to its last: data flows, and is whole. */
async function dataFlows(t: Test): Promise<void> {
  const { sent, received } = await (await Download.begin(world, 9000)).finish()
  t.strictSame(received, sent)
}

t.test('alone an end is started and lives, and is unready for want of a handshake', async t => {
  const gateway = await start('gateway')
  await gateway.logged(line => line.msg === 'health changed')
  await health(t, 'gateway', 'unready', ['no-handshake'])
  const http = await world.gateway.exec('curl', '-s', '-w', '%{http_code}', `${url}/startupz`)
  t.match(http, /200$/)
  await ready(gateway, await start('cluster'))
  await health(t, 'gateway', 'ready', [])
  await health(t, 'cluster', 'ready', [])
})

t.test('a target that refuses makes an end degraded, not unready', async t => {
  await world.client.exec('curl', '-s', '--max-time', '10', 'http://203.0.113.1:9001').catch(() => {})
  await ends.cluster!.logged(line => line.msg === 'health changed' && line.status === 'degraded')
  await health(t, 'cluster', 'degraded', ['backend-down'])
  // The link tells.
  await ends.gateway!.logged(line => line.msg === 'health changed' && line.status === 'degraded')
  await health(t, 'gateway', 'degraded', ['backend-down'])
})

for (const end of ['gateway', 'cluster'] as const)
  t.test(
    `kill -9 of wireguard-go at the ${end} under a download loses no byte`,
    { timeout: 120_000 },
    async t => {
      const download = await Download.begin(world, 9000)
      const from = ends[end]!.log.length
      process.kill(await pidOf(end), 'SIGKILL')
      const down = await ends[end]!.logged(line => line.msg === 'wireguard-go is not running', { from })
      t.match(down, { level: 'error', why: 'killed by SIGKILL' })
      await ends[end]!.logged(line => line.msg === 'tunnel up', { from })
      await download.moves()
      const { sent, received } = await download.finish()
      t.strictSame(received, sent)
      t.equal(received.end, 'complete')
      t.match((await status(end)).tunnel!.process, { state: 'running', restarts: 1 })
    },
  )

t.test('while wireguard-go cannot be started the end is unready, and goes on by itself later', async t => {
  const gateway = ends.gateway!
  const from = gateway.log.length
  await unlink(wireguardGo)
  process.kill(await pidOf('gateway'), 'SIGKILL')
  const killed = new Date().toISOString()
  await gateway.logged(line => line.msg === 'health changed' && line.status === 'unready', { from })
  await health(t, 'gateway', 'unready', ['tunnel-process-down', 'backend-down'])
  await symlink(realWireguardGo, wireguardGo)
  await gateway.logged(line => line.msg === 'tunnel up', { from, ms: 30_000 })
  // A handshake that fails is tried again after 5 s (WireGuard's REKEY_TIMEOUT): as long as a dial to a target may take.
  await retry(async () => ok((await status('gateway')).tunnel!.peers[0]!.lastHandshake! > killed))
  await dataFlows(t)
})

t.test('SIGHUP does not end it', async t => {
  ends.gateway!.child.kill('SIGHUP')
  await dataFlows(t)
  t.equal(ends.gateway!.child.exitCode, null)
  t.equal(ends.gateway!.child.signalCode, null)
})

t.test('a second end of the same config is refused, the first one is not disturbed', async t => {
  const download = await Download.begin(world, 9000)
  const before = await status('gateway')
  const second = startEnd(world.gateway, join(world.lab.folder, 'gateway'))
  t.equal((await second.exited).code, 1)
  t.match(
    second.output,
    `another wg-punchhole already runs interface ${world.interfaces.gateway} here. Stop it`,
  )
  await download.moves()
  const { sent, received } = await download.finish()
  t.strictSame(received, sent)
  const after = await status('gateway')
  t.strictSame(after.tunnel!.process, before.tunnel!.process)
  t.equal(after.startedAt, before.startedAt)
})

for (const both of [false, true])
  t.test(
    `after kill -9 of the supervisor${both ? ' and its wireguard-go' : ''} a new start takes over`,
    async t => {
      const { gateway } = world
      await gateway.exec('ip', 'tuntap', 'add', 'dev', 'foreign', 'mode', 'tun')
      await gateway.exec('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'foreign')
      const foreign = () => gateway.exec('ip', '-details', 'address', 'show', 'dev', 'foreign')
      const before = await foreign()
      const { process: child, peers } = (await status('gateway')).tunnel!
      const pid = child.pid!
      await retry(async () => {
        const saved = await readFile(endpointFile, 'utf8')
        if (!saved.includes(peers[0]!.endpoint!)) throw new Error(`not saved yet: ${saved}`)
      })
      await ends.gateway!.stop('SIGKILL')
      if (both) process.kill(pid, 'SIGKILL')
      t.equal((await command(gateway, 'health', '--url', url)).code, 1, 'nobody answers')
      const next = await start('gateway')
      t.match(await next.logged(line => line.msg === 'tunnel up'), { adopted: !both, listenPort: 51820 })
      await dataFlows(t)
      t.equal(await foreign(), before, 'the interface of others is as it was')
      await gateway.exec('ip', 'link', 'delete', 'foreign')
      // An adopted one is nobody's child; the next fault is to meet one of its own.
      if (!both) process.kill(pid, 'SIGKILL')
      if (!both) await next.logged(line => line.msg === 'tunnel up' && line.adopted === false)
      t.equal(processesWith(`-f ${world.interfaces.gateway}`).length, 1, 'one wireguard-go')
    },
  )

t.test('no key in anything that the ends, health and status have printed', async t => {
  await Promise.all([ends.gateway!.stop(), ends.cluster!.stop()])
  t.match(world.lab.output, 'handshake', 'there is something to look through')
  for (const key of [world.keys.gateway.privateKey, world.keys.cluster.privateKey, world.presharedKey!]) {
    t.notOk(world.lab.output.includes(key), 'base64')
    t.notOk(world.lab.output.includes(Buffer.from(key, 'base64').toString('hex')), 'hex')
  }
})
