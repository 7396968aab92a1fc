import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { execute } from '../lab/execute.ts'
import { Lab } from '../lab/lab.ts'
import { askAdmin, checkShipped } from '../lab/shipped.ts'
import { chart, helm, image, kubectl, makePrivileged, portForward, remove, serveWeb, until } from './node.ts'

/**
 * The chart on a real node, the gateway end outside of it:
 *
 *   client 203.0.113.7 ── 203.0.113.1 gateway 198.51.100.1 ── 198.51.100.254 machine ── pod (Service web.dmz: nginx)
 *                                     10.1.10.1 ═════════ wireguard-go ═════════ 10.1.10.2
 */
const clientAddress = '203.0.113.7'
const release = ['home', chart, '--namespace', 'edge', '--values']

t.setTimeout(600_000)
const lab = await Lab.create(`k${process.pid}`)
t.teardown(async () => {
  await remove('edge', 'dmz', 'strict')
  await lab.close()
})
const keys = keyPairs()
const client = await lab.host('client')
const gateway = await lab.host('gateway')
await lab.link(client, [`${clientAddress}/24`], gateway, ['203.0.113.1/24'])
await lab.link(undefined, ['198.51.100.254/24'], gateway, ['198.51.100.1/24'])
await gateway.route('10.244.0.0/16', '198.51.100.254')
const folder = await endFolder(lab, 'gateway', {
  config: `tunnel: { wgConf: wg0.conf, interface: ${lab.id}g, stateDir: . }
forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  more: { listen: ":81", target: "10.1.10.2:81" }
`,
  wgConf: `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`,
})
let end = startEnd(gateway, folder)

/** Values of the release that forward these ports to nginx. */
async function values(...ports: number[]): Promise<string> {
  const file = join(lab.folder, `values-${ports.join('-')}.yaml`)
  const forwards = ports.map(port => [
    `p${port}`,
    { listen: `tunnel:${port}`, target: 'web.dmz.svc.cluster.local.:80' },
  ])
  const value = {
    image,
    tunnel: { existingSecret: 'wg' },
    config: { forwards: Object.fromEntries(forwards) },
    terminationGracePeriodSeconds: 20,
  }
  await writeFile(file, JSON.stringify({ ...value, config: { ...value.config, drainTimeout: '5s' } }))
  return file
}

/** What nginx in the cluster sees of a request from the client; rejects when none is answered within 2 s. */
async function seen(port = 80): Promise<string> {
  const body = await client.exec(
    'curl',
    '--silent',
    '--show-error',
    '--fail',
    '--max-time',
    '2',
    `http://203.0.113.1:${port}/`,
  )
  return body.split(' ')[0]!
}

async function pod(): Promise<{ uid: string; restarts: number; ready: boolean }> {
  const { items } = JSON.parse(
    await kubectl('-n', 'edge', 'get', 'pod', '-l', 'app.kubernetes.io/instance=home', '-o', 'json'),
  )
  if (items.length !== 1) throw new Error(`${items.length} pods`)
  const [{ metadata, status }] = items
  const [container] = status.containerStatuses
  return { uid: metadata.uid, restarts: container.restartCount, ready: container.ready }
}

/** /readyz of the pod, asked inside it. */
async function readyz(): Promise<{ status: string; reasons: { code: string }[] }> {
  const answer = await kubectl(
    '-n',
    'edge',
    'exec',
    'deploy/home-wg-punchhole',
    '--',
    'sh',
    '-c',
    'wg-punchhole health --ready || true',
  )
  return JSON.parse(answer)
}

const secret = join(lab.folder, 'wg0.conf')
await writeFile(
  secret,
  `# the known set-up's file, as it is
[Interface]
Address = 10.1.10.2
PrivateKey = ${keys.cluster.privateKey}
[Peer]
PublicKey = ${keys.gateway.publicKey}
Endpoint = 198.51.100.1:51820
AllowedIPs = 10.1.10.2/24
PersistentKeepalive = 25
`,
  { mode: 0o600 },
)

t.test('nginx behind a Service', async t => {
  await serveWeb('dmz')
  t.match(await kubectl('-n', 'dmz', 'get', 'service', 'web', '-o', 'name'), 'service/web')
})

t.test('a baseline namespace refuses the pod and says why', async t => {
  await kubectl('create', 'namespace', 'strict')
  await kubectl('label', 'namespace', 'strict', 'pod-security.kubernetes.io/enforce=baseline')
  await helm('install', 'home', chart, '--namespace', 'strict', '--values', await values(80))
  await until(async () => {
    const events = await kubectl('-n', 'strict', 'get', 'events', '-o', 'jsonpath={.items[*].message}')
    if (!events.includes('violates PodSecurity "baseline')) throw new Error(events)
  }, 30_000)
  const events = await kubectl('-n', 'strict', 'get', 'events', '-o', 'jsonpath={.items[*].message}')
  t.match(events, /violates PodSecurity "baseline:latest": non-default capabilities .*NET_ADMIN/)
  await helm('uninstall', 'home', '--namespace', 'strict', '--wait')
})

t.test(
  'helm install --wait in a privileged namespace: the client’s address arrives',
  { timeout: 180_000 },
  async t => {
    await makePrivileged('edge')
    await kubectl('-n', 'edge', 'create', 'secret', 'generic', 'wg', `--from-file=wg0.conf=${secret}`)
    await helm('install', ...release, await values(80), '--wait', '--timeout', '90s')
    await until(seen, 20_000)
    t.equal(await seen(), clientAddress)
  },
)

t.test('one capability, read-only root, no token', async t => {
  const inside = (...command: string[]) =>
    kubectl('-n', 'edge', 'exec', 'deploy/home-wg-punchhole', '--', ...command)
  t.match(await inside('grep', 'CapEff', '/proc/1/status'), /CapEff:\s+0000000000001000$/, 'NET_ADMIN alone')
  t.match(await inside('sh', '-c', 'touch /x 2>&1 || true'), /Read-only/)
  t.match(await inside('sh', '-c', 'ls /var/run/secrets 2>&1 || true'), /No such file/)
})

t.test('every path and every command, in the pod', { timeout: 120_000 }, async t => {
  const inside = ['kubectl', '-n', 'edge', 'exec', '-i', 'deploy/home-wg-punchhole', '--']
  await using admin = await portForward('edge', 'deploy/home-wg-punchhole', 9586)
  await checkShipped(t, {
    files: ['--config', '/etc/wg-punchhole/config.yaml', '--wg-conf', '/etc/wg-punchhole/wg0.conf'],
    writable: '/run/wireguard',
    program: ['wg-punchhole'],
    run: (commandLine, stdin) => execute([...inside, ...commandLine], stdin),
    ask: (method, path) => askAdmin({ url: admin.url, method, path }),
  })
})

t.test('helm test', async t => {
  t.match(await helm('test', 'home', '--namespace', 'edge'), /Phase:\s+Succeeded/)
})

t.test(
  'helm upgrade with one more forward: the pod reloads, no restart; rollback takes it away',
  { timeout: 360_000 },
  async t => {
    const before = await pod()
    await helm('upgrade', ...release, await values(80, 81))
    const took = await until(() => seen(81), 150_000)
    t.comment(`from helm upgrade to the new listener: ${(took / 1000).toFixed(1)} s`)
    t.equal(await seen(81), clientAddress)
    t.same(await pod(), before)
    await helm('rollback', 'home', '1', '--namespace', 'edge')
    await until(async () => {
      if (
        await seen(81).then(
          () => true,
          () => false,
        )
      )
        throw new Error('still forwarded')
    }, 150_000)
    t.equal(await seen(), clientAddress)
    t.same(await pod(), before)
  },
)

t.test(
  'the gateway is dead for 90 s: unready with the reason, never restarted, ready again by itself',
  { timeout: 240_000 },
  async t => {
    const before = await pod()
    await end.stop('SIGKILL')
    const dead = Date.now()
    // Its wireguard-go and device live on after a SIGKILL: the whole host is gone.
    await gateway.exec('ip', 'link', 'set', 'to-machine', 'down')
    await until(async () => {
      const { status, reasons } = await readyz()
      if (status !== 'unready') throw new Error(`${status} ${JSON.stringify(reasons)}`)
    }, 85_000)
    const { reasons } = await readyz()
    t.match(reasons[0]?.code, /^(path-dead|handshake-stale)$/)
    await until(async () => {
      if ((await pod()).ready) throw new Error('still ready')
    }, 30_000)
    await new Promise(resolve => setTimeout(resolve, Math.max(0, dead + 90_000 - Date.now())))
    t.same(await pod(), { ...before, ready: false })
    await gateway.exec('ip', 'link', 'set', 'to-machine', 'up')
    await gateway.route('10.244.0.0/16', '198.51.100.254')
    end = startEnd(gateway, folder)
    const took = await until(seen, 60_000)
    t.comment(`from the gateway's return to the first good request: ${(took / 1000).toFixed(1)} s`)
    await until(async () => {
      if (!(await pod()).ready) throw new Error('still unready')
    }, 30_000)
    t.same(await pod(), before)
  },
)

t.test('kubectl delete pod: back to serving', { timeout: 120_000 }, async t => {
  const before = await pod()
  const start = Date.now()
  await kubectl('-n', 'edge', 'delete', 'pod', '-l', 'app.kubernetes.io/instance=home')
  await until(seen, 60_000)
  const took = Date.now() - start
  t.comment(`from kubectl delete pod to the first good request: ${(took / 1000).toFixed(1)} s`)
  t.ok(took < 10_000, 'in under 10 s')
  t.not((await pod()).uid, before.uid)
})

t.test('helm uninstall leaves nothing', { timeout: 120_000 }, async t => {
  await helm('uninstall', 'home', '--namespace', 'edge', '--wait')
  await until(async () => {
    const left = await kubectl(
      '-n',
      'edge',
      'get',
      'all,configmap,secret,networkpolicy,pdb',
      '-l',
      'app.kubernetes.io/instance=home',
      '-o',
      'name',
    )
    if (left !== '') throw new Error(left)
  }, 60_000)
  t.equal(await kubectl('-n', 'edge', 'get', 'pods', '-o', 'name'), '')
})
