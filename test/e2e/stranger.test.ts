import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { command, endFolder, startEnd } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { Download } from './download.ts'
import { Stranger } from './stranger.ts'
import { address, ready, retry, startNginx, topology, wgConf } from './topology.ts'

/**
 * Data for a peer's addresses goes through the tunnel or nowhere. Behind the gateway's default route somebody answers at
 * the cluster end's tunnel addresses, on every port: whatever becomes of routes, rules and the device, he gets nothing.
 */
const world = await topology()
t.teardown(() => world.lab.close())
const device = world.interfaces.gateway
const stranger = await Stranger.behind(world.lab, world.gateway, ['10.1.10.2/32', 'fd00:10::2/128'])
await startNginx(world)
let gateway: Running

/** Both families, and at the gateway every host of the peer's subnet, so that there are more specific routes. */
function confOf(end: 'gateway' | 'cluster'): string {
  const host = end === 'gateway' ? 1 : 2
  return wgConf(world, end)
    .replace(/^Address = .*$/m, `Address = 10.1.10.${host}/32, fd00:10::${host}/128, fe80::${host}/64`)
    .replace(/^AllowedIPs = .*$/m, 'AllowedIPs = 10.1.10.0/24, fd00:10::/64')
}

const configs = {
  gateway: `forwards:
  http: { listen: ":80", target: "10.1.10.2:80", check: { interval: 1s, rise: 1, fall: 1 } }
  http6: { listen: ":8086", target: "[fd00:10::2]:80" }
  named: { listen: ":8087", target: "web.example:80" }
  promoted: { listen: ":9000", target: "10.1.10.2:9000" }
  plain: { listen: ":9001", target: "10.1.10.2:9001", sendProxy: false }
`,
  cluster: `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  promoted: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
  plain: { listen: "tunnel:9001", target: "127.0.0.1:9001", sendProxy: false, acceptProxy: false }
`,
}

/** @param peer where the other end is probed. */
function configOf(end: 'gateway' | 'cluster', peer: string): string {
  const key = world.keys[end === 'gateway' ? 'cluster' : 'gateway'].publicKey
  const probe = `{ addresses: { "${key}": ${peer} } }`
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces[end]}, stateDir: ., probe: ${probe} }\n`
  return tunnel + configs[end]
}

async function start(end: 'gateway' | 'cluster', change: (conf: string) => string): Promise<Running> {
  const config = configOf(end, end === 'gateway' ? '10.1.10.2' : '10.1.10.1')
  const folder = await endFolder(world.lab, end, { config, wgConf: change(confOf(end)) })
  const hosts = join(folder, 'hosts')
  await writeFile(hosts, '10.1.10.2 web.example\n')
  const wrapper = ['bash', '-c', `mount --bind ${hosts} /etc/hosts && exec "$0" "$@"`]
  const running = startEnd(world[end], folder, { wrapper })
  await running.logged(line => line.msg === 'running')
  return running
}

const cluster = await start('cluster', conf => conf)

const ip = (line: string) => world.gateway.exec('ip', ...line.split(' '))

/** What each of the gateway's forwards answers a request: `200`, or why there was no answer. */
function requests(): Promise<string[]> {
  return world.client.run(
    async ({ host, ports }) => {
      const one = async (port: number) => {
        const signal = AbortSignal.timeout(1000)
        return fetch(`http://${host}:${port}/`, { signal, headers: { connection: 'close' } }).then(
          async answer => ((await answer.text()).includes('stranger') ? 'stranger' : String(answer.status)),
          error => error.cause?.code ?? error.name,
        )
      }
      return Promise.all(ports.map(one))
    },
    { host: address.gateway[4], ports: [80, 8086, 8087] },
  )
}

async function health(): Promise<{ status: string; codes: string[] }> {
  const body = await world.gateway.run(async () =>
    (await fetch('http://127.0.0.1:9586/readyz').catch(() => undefined))?.text(),
  )
  const { status, reasons } = JSON.parse(body ?? '{"reasons":[]}')
  return { status, codes: reasons.map(({ code }: { code: string }) => code) }
}

async function served(t: Test): Promise<void> {
  await retry(async () => {
    const answers = [...(await requests()), (await health()).status]
    if (answers.join() !== '200,200,200,ready') throw new Error(answers.join())
  })
  t.pass('all is served, and the end is ready')
}

/** Nothing reached the stranger: no connection, and of those that there were no segment with data. */
async function silence(t: Test): Promise<void> {
  t.same(await stranger.heard(), { segments: 0, bytes: 0, connections: 0 })
}

const download = () => Promise.all([9000, 9001].map(port => Download.begin(world, port)))

t.test('what is taken away is put back, and nobody else gets a byte meanwhile', async t => {
  gateway = await start('gateway', conf => conf)
  await ready(gateway)
  await served(t)
  const downloads = await download()
  for (const [line, lost] of [
    [`route delete 10.1.10.0/24 dev ${device}`, 'route 10.1.10.0/24'],
    [`-6 route delete fd00:10::/64 dev ${device}`, 'route fd00:10::/64'],
    ['route replace unreachable 10.1.10.0/24', 'route 10.1.10.0/24'],
    [`route delete unreachable 10.1.10.0/24`, 'route 10.1.10.0/24 unreachable'],
    [`address delete 10.1.10.1/32 dev ${device}`, 'address 10.1.10.1/32'],
    [`link set ${device} alias uplink`, 'alias wg-punchhole, found uplink'],
    [`link set ${device} mtu 1300`, 'MTU 1420, found 1300'],
    [`link set ${device} down`, `${device} is set down`],
    [`link delete ${device}`, `device ${device}`],
  ] as const) {
    const from = gateway.log.length
    await ip(line)
    const asked = requests()
    const put = await gateway.logged(({ msg }) => msg === 'tunnel device put back', { from })
    t.ok((put.lost as string[]).includes(lost), `${put.lost}`)
    t.notOk((await asked).includes('stranger'))
  }
  await served(t)
  for (const download of downloads) {
    await download.moves()
    const { sent, received } = await download.finish()
    t.same(received, sent, 'a transfer that ran through all of it loses nothing')
  }
  await silence(t)
  const metrics = await world.gateway.run(async () => (await fetch('http://127.0.0.1:9586/metrics')).text())
  for (const [what, least] of Object.entries({ route: 4, address: 1, mtu: 1, link: 1, device: 1 })) {
    const count = new RegExp(`^wg_punchhole_tunnel_put_back_total\\{what="${what}"\\} (\\d+)$`, 'm').exec(
      metrics,
    )
    t.ok(Number(count?.[1]) >= least, `${what}: ${count?.[1]}`)
  }
})

/** Until the gateway says that data for its peer would leave by another way. */
async function noticed(t: Test): Promise<void> {
  await retry(async () => {
    const { status, codes } = await health()
    if (status !== 'unready' || !codes.includes('no-tunnel-route')) throw new Error(`${status} ${codes}`)
  })
  t.pass('the end is not ready')
}

t.test('what leads elsewhere in the place of the tunnel is not used, and what runs is reset', async t => {
  for (const [make, undo, closed, transfers = false] of [
    ['route add 10.1.10.2 via 192.0.2.2', 'route delete 10.1.10.2 via 192.0.2.2', [0, 2], true],
    ['route add unreachable 10.1.10.2', 'route delete unreachable 10.1.10.2', []],
    ['-6 route add fd00:10::2 via 2001:db8:2::2', '-6 route delete fd00:10::2 via 2001:db8:2::2', [1]],
    [
      'rule add to 10.1.10.2 ipproto tcp lookup 100',
      'rule delete to 10.1.10.2 ipproto tcp lookup 100',
      [0, 2],
    ],
    ['rule add from 10.1.10.1 lookup 100', 'rule delete from 10.1.10.1 lookup 100', [0, 2]],
    ['address add 10.1.10.2/32 dev lo', 'address delete 10.1.10.2/32 dev lo', [0, 2]],
  ] as const) {
    const downloads = transfers ? await download() : []
    const from = gateway.log.length
    await ip(make)
    await noticed(t)
    const answers = await requests()
    for (const index of closed) t.match(answers[index], /ECONN/, `${make}: ${answers}`)
    t.notOk(answers.includes('stranger'))
    for (const download of downloads) {
      t.equal(await download.end(), 'ECONNRESET', `${make}: a transfer is reset`)
      await gateway.logged(({ msg, end }) => msg === 'connection ended' && end === 'no-tunnel-route', {
        from,
      })
      // The cluster end hears of it when its own link is silent.
      void download.finish().catch(() => {})
    }
    await ip(undo)
    await served(t)
  }
  // A segment that was on its way in that moment may have gone there, and nobody took it.
  t.equal((await stranger.heard()).bytes, 0)
})

t.test('the same of what a peer that connected is answered', async t => {
  const other = await Stranger.behind(world.lab, world.cluster, ['10.1.10.1/32'], 'other')
  const downloads = await download()
  await world.cluster.exec('ip', 'rule', 'add', 'to', '10.1.10.1', 'lookup', '100')
  for (const download of downloads) {
    await cluster.logged(({ msg, end }) => msg === 'connection ended' && end === 'no-tunnel-route')
    void download.finish().catch(() => {})
  }
  t.not((await requests())[0], '200')
  await cluster.logged(({ msg, status }) => msg === 'health changed' && status === 'unready')
  await world.cluster.exec('ip', 'rule', 'delete', 'to', '10.1.10.1', 'lookup', '100')
  await served(t)
  t.equal((await other.heard()).bytes, 0)
})

t.test('neither a start nor a stop nor a reload lets a byte out', async t => {
  // A client that never rests.
  await world.client.run(async (host, { state }) => {
    state.set('restless', true)
    const rest = () => new Promise(resolve => setTimeout(resolve, 5))
    const ask = async () => {
      while (state.get('restless')) {
        const signal = AbortSignal.timeout(1000)
        await fetch(`http://${host}/`, { signal, headers: { connection: 'close' } })
          .then(answer => answer.text())
          .catch(rest)
      }
    }
    state.set('asking', Promise.all([ask(), ask()]))
  }, address.gateway[4])
  const before = await stranger.heard()
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await gateway.stop(signal)
    gateway = await start('gateway', conf => conf)
    await served(t)
  }
  // The peer's addresses are no longer the tunnel's: what runs to them was meant for the tunnel all the same.
  const downloads = await download()
  const from = gateway.log.length
  const elsewhere = (text: string) => text.replaceAll(/10\.1\.10\.(0\/24|2)/g, '10.1.11.$1')
  await endFolder(world.lab, 'gateway', {
    config: elsewhere(configOf('gateway', '10.1.10.2')).replace('web.example', '10.1.11.3'),
    wgConf: elsewhere(confOf('gateway')),
  })
  await gateway.logged(({ msg }) => msg === 'config reloaded', { from })
  for (const download of downloads) {
    t.equal(await download.end(), 'ECONNRESET')
    void download.finish().catch(() => {})
  }
  await world.client.run(async (_, { state }) => {
    state.set('restless', false)
    await state.get('asking')
  })
  t.same(await stranger.heard(), before)
  await gateway.stop()
})

t.test('AllowedIPs of everything: no byte goes out where no route of ours leads to the peer', async t => {
  const before = await stranger.heard()
  for (const table of ['', 'Table = off\n']) {
    const wide = confOf('gateway').replace(/^AllowedIPs = .*$/m, 'AllowedIPs = 0.0.0.0/0, ::/0')
    const config = configOf('gateway', '')
      .replace(/, probe: .*/, ' }')
      .replace('web.example', '10.1.10.2')
    const folder = await endFolder(world.lab, 'gateway', {
      config,
      wgConf: wide.replace('[Interface]\n', `[Interface]\n${table}`),
    })
    gateway = startEnd(world.gateway, folder)
    await gateway.logged(({ msg }) => msg === 'running')
    await noticed(t)
    t.notOk((await requests()).includes('stranger'), `${table}`)
    t.same(await stranger.heard(), before)
    for (const address of ['10.1.10.2', 'fd00:10::2']) await ip(`route add ${address} dev ${device}`)
    await retry(async () => {
      const answers = await requests()
      if (answers.join() !== '200,200,200') throw new Error(answers.join())
    })
    t.same(await stranger.heard(), before, 'by a route of the user')
    await gateway.stop()
  }
})

t.test('Table = off: nothing is sent before there is a route of yours, nor when it is gone', async t => {
  const before = await stranger.heard()
  gateway = await start('gateway', conf => conf.replace('[Interface]', '[Interface]\nTable = off'))
  await noticed(t)
  t.strictSame(
    (await requests()).map(answer => answer.replace('ECONNRESET', 'ECONNREFUSED')),
    new Array(3).fill('ECONNREFUSED'),
  )
  const { code, output } = await command(world.gateway, 'doctor', '--url', 'http://127.0.0.1:9586')
  t.equal(code, 1)
  t.match(
    output,
    /FAILED +peer .*data for 10\.1\.10\.2 of peer .* does not leave through .*, so none is sent/,
  )
  t.match(
    output,
    /FAILED +target of http +nothing is sent to 10\.1\.10\.2: its route leads out through to-stranger/,
  )
  t.same(await stranger.heard(), before, 'no connection, no data, nor by doctor')
  await ip(`route add 10.1.10.2 dev ${device}`)
  await ip(`-6 route add fd00:10::2 dev ${device}`)
  await served(t)
  const downloads = await download()
  const from = gateway.log.length
  await ip(`route delete 10.1.10.2 dev ${device}`)
  for (const download of downloads) {
    t.equal(await download.end(), 'ECONNRESET')
    void download.finish().catch(() => {})
  }
  await gateway.logged(({ end }) => end === 'no-tunnel-route', { from })
  await noticed(t)
  t.equal((await stranger.heard()).bytes, before.bytes)
  await gateway.stop()
})
