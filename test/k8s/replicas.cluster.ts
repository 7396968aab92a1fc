import { execFile } from 'node:child_process'
import { appendFile, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import { init } from '../../src/init/init.ts'
import { shellCommand } from '../lab/built.ts'
import { startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'
import { chart, helm, image, kubectl, makePrivileged, remove, serveWeb, until } from './node.ts'
import { Visitors, type Visits } from './visitors.ts'

/**
 * Two replicas on a real node, under constant new connections and downloads from outside:
 *
 *   client 203.0.113.7 ── 203.0.113.1 gateway 198.51.100.129 ── 198.51.100.130 machine ── pods (Service web.site: nginx)
 *                                    10.1.10.1 ═══════ wireguard-go ═══════ 10.1.10.2 the only one
 *                                             ╘═══════ wireguard-go ═══════ 10.1.10.3 pod 0 of two
 *                                             ╘═══════ wireguard-go ═══════ 10.1.10.4 pod 1 of two
 */
const run = promisify(execFile)
const perSecond = 200
const name = 'home-wg-punchhole'
const selector = 'app.kubernetes.io/instance=home'

t.setTimeout(600_000)
const lab = await Lab.create(`r${process.pid}`)
t.teardown(async () => {
  await remove('pair', 'site')
  await lab.close()
})
const client = await lab.host('client')
const gateway = await lab.host('gateway')
await lab.link(client, ['203.0.113.7/24'], gateway, ['203.0.113.1/24'])
await lab.link(undefined, ['198.51.100.130/30'], gateway, ['198.51.100.129/30'])
await gateway.route('10.244.0.0/16', '198.51.100.130')

// One replica, as init makes it, in a folder such as the documents have: chart, values.yaml and the Secret's wg0.conf.
const pair = join(lab.folder, 'pair')
init([
  ...[pair, '--endpoint', '198.51.100.129', '--target', 'web.site.svc.cluster.local.'],
  ...['--forward', '80:80', '--forward', '81:80'],
])
const cluster = join(pair, 'cluster')
await symlink(chart, join(cluster, 'chart'))
const initial = parse(await readFile(join(cluster, 'values.yaml'), 'utf8'))
const { stringData } = parse(await readFile(join(cluster, 'secret.yaml'), 'utf8'))
await writeFile(join(cluster, 'wg0.conf'), stringData['wg0.conf'], { mode: 0o600 })
const folder = join(pair, 'gateway')
await setTargets('10.1.10.2')
startEnd(gateway, folder)

/** Which the second forward takes in turns. */
async function setTargets(...addresses: string[]): Promise<void> {
  const to = (port: number) => addresses.map(address => `${address}:${port}`)
  const forwards = {
    http: { listen: ':80', target: to(80) },
    more: { listen: ':81', target: to(81), balance: 'roundrobin' },
  }
  const config = { tunnel: { wgConf: 'wg0.conf', interface: `${lab.id}g`, stateDir: '.' }, forwards }
  await writeFile(join(folder, 'config.yaml'), JSON.stringify(config))
}

/** A command of the documents, or one like them, in the cluster's folder. */
async function sh(command: string): Promise<void> {
  const program = `wg-punchhole() { ${shellCommand()} "$@"; }`
  const options = { cwd: cluster, timeout: 180_000 }
  await run('bash', ['-euc', `${program}\n${command.replaceAll('-n edge', '-n pair')}`], options)
}

/** The commands that a section of docs/cluster-helm.md gives. */
async function documented(heading: string): Promise<string[]> {
  const text = await readFile(join(import.meta.dirname, '../../docs/cluster-helm.md'), 'utf8')
  const [section = ''] = text.split(`\n### ${heading}\n`)[1]?.split('\n#') ?? []
  return Array.from(section.matchAll(/^```sh\n([\s\S]*?)^```$/gm), ([, commands]) => commands!)
}

async function setValues(values: object): Promise<void> {
  // More than a download takes; and what a pod waits for where the gateway is dead.
  const config = { ...initial.config, drainTimeout: '20s' }
  await writeFile(join(cluster, 'values.yaml'), JSON.stringify({ ...initial, config, image, ...values }))
}

async function upgrade(values: object, ...flags: string[]): Promise<void> {
  await setValues(values)
  await sh(`helm -n edge upgrade home ./chart --values values.yaml ${flags.join(' ')}`)
}

interface Pod {
  readonly name: string
  readonly uid: string
  readonly ready: boolean
}

async function pods(): Promise<Pod[]> {
  const { items } = JSON.parse(await kubectl('-n', 'pair', 'get', 'pod', '-l', selector, '-o', 'json'))
  // biome-ignore lint/suspicious/noExplicitAny: as deep as Kubernetes is
  return items.map(({ metadata, status }: any) => ({
    name: metadata.name,
    uid: metadata.uid,
    ready: status.containerStatuses?.[0].ready ?? false,
  }))
}

/** Resolves when there are just these pods, ready. */
async function settled(...names: string[]): Promise<Pod[]> {
  let found: Pod[] = []
  await until(async () => {
    found = await pods()
    if (
      found.length !== names.length ||
      !names.every(name => found.some(pod => pod.name === name && pod.ready))
    )
      throw new Error(JSON.stringify(found))
  }, 60_000)
  return found
}

/** Asks for a pod's eviction, as `kubectl drain` does; rejects when the budget refuses. */
async function evict(pod: string): Promise<void> {
  const file = join(lab.folder, 'eviction.json')
  const metadata = { name: pod, namespace: 'pair' }
  await writeFile(file, JSON.stringify({ apiVersion: 'policy/v1', kind: 'Eviction', metadata }))
  await kubectl('create', '--raw', `/api/v1/namespaces/pair/pods/${pod}/eviction`, '-f', file)
}

const one = { replicas: 1 }
const two = { replicas: 2 }
let sha256 = ''

/** Lets visitors come while something happens, and a little longer; none may be refused or cut. */
async function undisturbed(t: Test, work: () => Promise<unknown>): Promise<Visits> {
  const options = { address: '203.0.113.1', ports: [80, 81], perSecond, downloads: 4, sha256 }
  const began = Date.now()
  const visitors = await Visitors.begin(client, options)
  let visits: Visits
  try {
    await work()
    await new Promise(resolve => setTimeout(resolve, 2000))
  } finally {
    visits = await visitors.end()
  }
  const seconds = ((Date.now() - began) / 1000).toFixed(1)
  t.comment(
    `${visits.requests} requests and ${visits.downloads} downloads in ${seconds} s; slowest request ${Math.round(visits.slowest)} ms`,
  )
  t.same(visits.failures, [], `of all, ${visits.failed} were refused or cut`)
  return visits
}

t.test('one replica, installed with what init wrote', { timeout: 180_000 }, async t => {
  await serveWeb('site')
  sha256 = (await kubectl('-n', 'site', 'exec', 'deploy/web', '--', 'sha256sum', '/srv/big')).split(' ')[0]!
  await makePrivileged('pair')
  await setValues(one)
  await sh('kubectl -n edge apply -f secret.yaml')
  await sh('helm -n edge install home ./chart --values values.yaml --wait --timeout 90s')
  t.equal((await pods()).length, 1)
})

t.test('replicas without keys of their own are refused before anything is changed', async t => {
  const before = await pods()
  await t.rejects(upgrade(two), {
    message: /found no wg0-0\.conf in the Secret wg; needed with replicas: 2: wg0-0\.conf, wg0-1\.conf/,
  })
  const same = '--from-file=wg0-0.conf=wg0.conf --from-file=wg0-1.conf=wg0.conf'
  await sh(`kubectl -n edge create secret generic same ${same}`)
  await t.rejects(upgrade({ ...two, tunnel: { existingSecret: 'same' } }), {
    message: /found one PrivateKey in the files of pod 0 and pod 1/,
  })
  t.same(await pods(), before)
})

t.test('from one replica to two, as documented', { timeout: 180_000 }, async t => {
  const [keys, change] = await documented('From one replica to two')
  await undisturbed(t, async () => {
    await sh(keys!)
    await appendFile(join(folder, 'wg0.conf'), await readFile(join(cluster, 'peers')))
    await setTargets('10.1.10.2', '10.1.10.3', '10.1.10.4')
    await until(async () => {
      const { tunnel } = JSON.parse(await gateway.exec('curl', 'http://127.0.0.1:9586/status.json'))
      if (tunnel.peers.length !== 3) throw new Error(JSON.stringify(tunnel))
    }, 30_000)
    await setValues(two)
    await sh(change!)
    await settled(`${name}-0`, `${name}-1`)
  })
})

t.test('helm test asks both, each in a tunnel of its own', async t => {
  t.match(await helm('test', 'home', '--namespace', 'pair'), /Phase:\s+Succeeded/)
  for (const [ordinal, address] of ['10.1.10.3', '10.1.10.4'].entries()) {
    const inside = ['exec', `${name}-${ordinal}`, '--', 'ip', 'address', 'show', 'wg0']
    t.match(await kubectl('-n', 'pair', ...inside), `inet ${address}/`)
  }
})

t.test('helm upgrade under load', { timeout: 240_000 }, async t => {
  const before = await pods()
  const { requests, downloads } = await undisturbed(t, async () => {
    await upgrade({ ...two, podAnnotations: { 'example.com/roll': '1' } }, '--wait')
  })
  t.ok(requests > 1000 && downloads > 0)
  const after = await settled(`${name}-0`, `${name}-1`)
  for (const { uid } of before)
    t.notOk(
      after.some(pod => pod.uid === uid),
      'both pods are new',
    )
})

t.test('pods are evicted one at a time', { timeout: 180_000 }, async t => {
  await undisturbed(t, async () => {
    await evict(`${name}-1`)
    await t.rejects(evict(`${name}-0`), { message: /disruption budget/ })
    // As `kubectl drain` does, until the other one is back.
    await until(() => evict(`${name}-0`), 60_000)
    await until(async () => {
      if ((await pods()).some(({ name: at, ready }) => at === `${name}-0` && ready))
        throw new Error('not gone yet')
    }, 30_000)
    await settled(`${name}-0`, `${name}-1`)
  })
})

t.test('an image that is not there, and back', { timeout: 180_000 }, async t => {
  const before = await pods()
  const uid = (name: string, of: Pod[]) => of.find(pod => pod.name === name)?.uid
  await undisturbed(t, async () => {
    await upgrade({ ...two, image: { ...image, tag: 'missing' } })
    const waiting = '{.status.containerStatuses[0].state.waiting.reason}'
    await until(async () => {
      const reason = await kubectl('-n', 'pair', 'get', 'pod', `${name}-1`, '-o', `jsonpath=${waiting}`)
      if (reason !== 'ErrImageNeverPull') throw new Error(reason)
    }, 60_000)
    await helm('rollback', 'home', '--namespace', 'pair', '--wait', '--timeout', '90s')
  })
  const after = await settled(`${name}-0`, `${name}-1`)
  t.not(uid(`${name}-1`, after), uid(`${name}-1`, before))
  t.equal(uid(`${name}-0`, after), uid(`${name}-0`, before), 'the other pod was left in peace')
})

t.test('an upgrade while the gateway is dead comes to its end', { timeout: 240_000 }, async t => {
  const before = await pods()
  await gateway.exec('ip', 'link', 'set', 'to-machine', 'down')
  const start = Date.now()
  await upgrade({ ...two, gatewayPatience: '10s', podAnnotations: { 'example.com/roll': '2' } }, '--wait')
  t.comment(`both pods replaced in ${((Date.now() - start) / 1000).toFixed(1)} s, with a patience of 10 s`)
  const after = await settled(`${name}-0`, `${name}-1`)
  for (const { uid } of before)
    t.notOk(
      after.some(pod => pod.uid === uid),
      'both pods are new',
    )
  const ask = ['exec', `${name}-0`, '--', 'sh', '-c', 'wg-punchhole health --ready || true']
  t.match(JSON.parse(await kubectl('-n', 'pair', ...ask)), { status: 'unready' }, 'which is no secret')

  await gateway.exec('ip', 'link', 'set', 'to-machine', 'up')
  await gateway.route('10.244.0.0/16', '198.51.100.130')
  for (const port of [80, 81])
    await until(() => client.exec('curl', '--fail', '--max-time', '2', `http://203.0.113.1:${port}/`), 60_000)
})

t.test('from two replicas to one, as documented', { timeout: 180_000 }, async t => {
  const [change] = await documented('From two replicas to one')
  await undisturbed(t, async () => {
    await setValues(one)
    await sh(change!)
  })
  t.equal((await pods()).length, 1)
})
