import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { init } from '../../src/init/init.ts'
import { startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'
import { chart, helm, image, kubectl, makePrivileged, remove, serveWeb, until } from './node.ts'
import { Visitors, type Visits } from './visitors.ts'

/**
 * Two replicas on a real node, under constant new connections and downloads from outside:
 *
 *   client 203.0.113.7 ── 203.0.113.1 gateway 192.0.2.1 ── 192.0.2.254 machine ── pods (Service web.site: nginx)
 *                                    10.1.10.1 ═══════ wireguard-go ═══════ 10.1.10.2 the only one
 *                                             ╘═══════ wireguard-go ═══════ 10.1.10.3 pod 0 of two
 *                                             ╘═══════ wireguard-go ═══════ 10.1.10.4 pod 1 of two
 */
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
await lab.link(undefined, ['192.0.2.254/24'], gateway, ['192.0.2.1/24'])
await gateway.route('10.244.0.0/16', '192.0.2.254')

// The files of three pods: one that is alone, and later two others.
const pair = join(lab.folder, 'pair')
init([
  ...[pair, '--endpoint', '192.0.2.1', '--target', 'web.site.svc.cluster.local', '--replicas', '3'],
  ...['--forward', '80:80', '--forward', '81:80'],
])
const folder = join(pair, 'gateway')
const config = parse(await readFile(join(folder, 'config.yaml'), 'utf8'))
Object.assign(config.tunnel, { interface: `${lab.id}g`, stateDir: '.' })
config.forwards['tcp-81'].balance = 'roundrobin'
await writeFile(join(folder, 'config.yaml'), stringify(config))
const secret = parse(await readFile(join(pair, 'cluster/secret.yaml'), 'utf8'))
const [alone, first, second] = Object.values<string>(secret.stringData)
startEnd(gateway, folder)

/** Puts keys into the release's Secret. */
async function giveKeys(keys: Record<string, string | undefined>): Promise<void> {
  const file = join(lab.folder, 'secret.yaml')
  await writeFile(file, JSON.stringify({ ...secret, stringData: keys }), { mode: 0o600 })
  await kubectl('-n', 'pair', 'apply', '-f', file)
}

/** What helm is given after `install` or `upgrade`: values of init's, and others on top. */
async function release(values: object): Promise<string[]> {
  const file = join(lab.folder, 'values.yaml')
  await writeFile(file, JSON.stringify({ image, ...values }))
  const files = ['--values', join(pair, 'cluster/values.yaml'), '--values', file]
  return ['home', chart, '--namespace', 'pair', ...files]
}

const upgrade = async (values: object, ...flags: string[]) =>
  helm('upgrade', ...(await release(values)), ...flags)

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
  t.same(visits.failures, [], 'none refused, none cut')
  return visits
}

t.test('one replica, installed with what init wrote', { timeout: 180_000 }, async t => {
  await serveWeb('site')
  sha256 = (await kubectl('-n', 'site', 'exec', 'deploy/web', '--', 'sha256sum', '/srv/big')).split(' ')[0]!
  await makePrivileged('pair')
  await giveKeys({ 'wg0.conf': alone })
  await helm('install', ...(await release(one)), '--wait', '--timeout', '90s')
  t.equal((await pods()).length, 1)
})

t.test('replicas without keys of their own are refused before anything is changed', async t => {
  const before = await pods()
  await t.rejects(upgrade(two), {
    stderr: /found no wg0-0\.conf in the Secret wg; needed with replicas: 2: wg0-0\.conf, wg0-1\.conf/,
  })
  await giveKeys({ 'wg0.conf': alone, 'wg0-0.conf': first, 'wg0-1.conf': first })
  await t.rejects(upgrade(two), { message: /found one PrivateKey in the files of pod 0 and pod 1/ })
  t.same(await pods(), before)
})

t.test('from one replica to two', { timeout: 180_000 }, async t => {
  await giveKeys({ 'wg0.conf': alone, 'wg0-0.conf': first, 'wg0-1.conf': second })
  await undisturbed(t, async () => {
    await kubectl('-n', 'pair', 'delete', 'deployment', name, '--cascade=orphan')
    await upgrade(two, '--wait')
    await kubectl('-n', 'pair', 'delete', 'replicaset', '-l', selector)
    await settled(`${name}-0`, `${name}-1`)
  })
})

t.test('helm test asks both, each in a tunnel of its own', async t => {
  const output = await helm('test', 'home', '--namespace', 'pair', '--logs')
  t.match(output, /Phase:\s+Succeeded/)
  for (const [ordinal, address] of ['10.1.10.3', '10.1.10.4'].entries()) {
    t.match(output, `${name}-${ordinal} 200 {"status":"ready"`)
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
  await gateway.route('10.244.0.0/16', '192.0.2.254')
  for (const port of [80, 81])
    await until(() => client.exec('curl', '--fail', '--max-time', '2', `http://203.0.113.1:${port}/`), 60_000)
})

t.test('back to one replica', { timeout: 180_000 }, async t => {
  await undisturbed(t, async () => {
    await kubectl('-n', 'pair', 'delete', 'statefulset', name, '--cascade=orphan')
    await upgrade(one, '--wait')
    await kubectl('-n', 'pair', 'delete', 'pod', '-l', `${selector},apps.kubernetes.io/pod-index`)
  })
  t.equal((await pods()).length, 1)
})
