import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { command, endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'
import { nothingLeft } from './remains.ts'

/** What a host may lack, or have already: each is an error at the start that says what to do, and leaves nothing. */
const lab = await Lab.create(`s${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('end')
const name = `${lab.id}w`

const keys = keyPairs()
const wgConf = `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`
const folder = await endFolder(lab, 'end', {
  config: `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: . }
forwards: { web: { listen: ":8080", target: "10.1.10.2:80" } }
`,
  wgConf,
})

/** ip-netns(8) gives each command a mount namespace of its own. */
const inShell = (script: string) => ['sh', '-c', `${script} && exec "$@"`, 'sh']
const without = (capability: string) => [
  'setpriv',
  '--bounding-set',
  `-${capability}`,
  '--inh-caps',
  `-${capability}`,
]

/** Asserts exit status 1 with this message as the last line. Section by section the start is to take less than 2 s. */
async function refused(t: Test, message: RegExp, wrapper: readonly string[] = []): Promise<void> {
  const startedAt = performance.now()
  const end = startEnd(host, folder, { wrapper })
  t.strictSame(await end.exited, { code: 1, signal: null })
  t.ok(performance.now() - startedAt < 10_000, 'in time, on a busy machine too')
  t.match(end.lines.at(-1), message)
  t.match(end.lines.at(-1), /^wg-punchhole: /)
}

const lacks: Readonly<Record<string, readonly [wrapper: readonly string[], message: RegExp]>> = {
  'no /dev/net/tun': [
    inShell('mount -t tmpfs tmpfs /dev/net'),
    /\/dev\/net\/tun does not exist\. Give the container the device \(--device \/dev\/net\/tun\)/,
  ],
  'no NET_ADMIN': [without('net_admin'), /\. .*NET_ADMIN/],
  'a run folder that cannot be written': [
    inShell(
      'mkdir -p /run/wireguard && mount --bind /run/wireguard /run/wireguard && mount -o remount,ro,bind /run/wireguard',
    ),
    /\/var\/run\/wireguard is not writable: .*\. Mount a volume or a tmpfs there/,
  ],
  'no wireguard-go': [
    ['env', 'WG_PUNCHHOLE_WIREGUARD_GO=/nowhere/wireguard-go'],
    /there is no wireguard-go to run: looked at \/nowhere\/wireguard-go\. Set WG_PUNCHHOLE_WIREGUARD_GO/,
  ],
}

for (const [what, [wrapper, message]] of Object.entries(lacks))
  t.test(what, async t => {
    await refused(t, message, wrapper)
    await nothingLeft(t, host, name)
  })

t.test('while the tunnel starts, the end answers that it does; a second end hears of the first', async t => {
  const slow = await endFolder(lab, 'slow', { config: '' })
  const { PATH } = process.env
  await writeFile(join(slow, 'ip'), `#!/bin/sh\nsleep 0.4\nexport PATH='${PATH}'\nexec ip "$@"\n`, {
    mode: 0o755,
  })
  // Once its agent runs, it asks sooner than an end can start.
  await host.run(() => {})
  /** The different answers, one after the other, until the start is complete. */
  const answers = host.run(async () => {
    const ask = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:9586${path}`)
      const { reasons } = (await response.json()) as { reasons: { code: string }[] }
      return [path, response.status, ...new Set(reasons.map(({ code }) => code))].join(' ')
    }
    const seen: string[] = []
    while (!seen.at(-1)?.includes('/startupz 200')) {
      const now = await Promise.all(['/livez', '/startupz', '/readyz'].map(ask)).catch(() => [])
      if (now.length > 0 && seen.at(-1) !== now.join()) seen.push(now.join())
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    return seen
  }, undefined)
  const end = startEnd(host, folder, { env: { PATH: `${slow}:${PATH}` } })
  await end.logged(line => line.msg === 'health changed')
  for (const path of ['/metrics', '/status.json'])
    t.ok(await host.exec('curl', '--silent', '--fail', `http://127.0.0.1:9586${path}`), path)
  await refused(t, new RegExp(`another wg-punchhole already runs interface ${name} here`))
  const seen = await answers
  t.equal(seen[0], '/livez 200,/startupz 503 starting,/readyz 503 starting')
  t.match(seen.at(-1), /^\/livez 200,\/startupz 200,/)
  await end.logged(line => line.msg === 'running')
  // With such an ip it takes longer than `stop` waits before its second signal.
  end.child.kill('SIGTERM')
  t.equal((await end.exited).code, 0)
  await nothingLeft(t, host, name)
})

t.test('an interface of that name that is not ours', async t => {
  await host.exec('ip', 'tuntap', 'add', 'dev', name, 'mode', 'tun')
  await host.exec('ip', 'address', 'add', '10.1.10.1/24', 'dev', name)
  const before = await host.exec('ip', '-details', 'address', 'show', 'dev', name)
  await refused(t, new RegExp(`interface ${name} already, .* not ours\\. .*systemctl stop wg-quick@${name}`))
  t.equal(await host.exec('ip', '-details', 'address', 'show', 'dev', name), before, 'it is not touched')
  await host.exec('ip', 'link', 'delete', name)
})

/** Holds a port of the host until the function returned is called. */
async function hold(protocol: 'tcp' | 'udp', port: number): Promise<() => Promise<void>> {
  await host.run(
    async ({ protocol, port }, { state }) => {
      const { createServer } = await import('node:net')
      const { createSocket } = await import('node:dgram')
      const holder = protocol === 'tcp' ? createServer() : createSocket('udp6')
      await new Promise<void>(resolve => {
        if ('bind' in holder) holder.bind(port, () => resolve())
        else holder.listen(port, () => resolve())
      })
      state.set('holder', holder)
    },
    { protocol, port },
  )
  return () => host.run((_, { state }) => void (state.get('holder') as { close(): void }).close())
}

for (const [protocol, port, message] of [
  [
    'tcp',
    8080,
    /cannot listen on :8080: the port is in use \(EADDRINUSE\)\. Stop what listens there \(`ss -lntup`/,
  ],
  [
    'tcp',
    9586,
    /admin\.listen: cannot listen on 127\.0\.0\.1:9586: the port is in use \(EADDRINUSE\)\. Stop/,
  ],
  ['udp', 51820, /UDP port 51820 \(ListenPort\) is not to be had\. Stop what holds it/],
] as const)
  t.test(`${protocol} port ${port} in use`, async t => {
    const release = await hold(protocol, port)
    await refused(t, message)
    await release()
    await nothingLeft(t, host, name)
  })

t.test('an address that this host does not have', async t => {
  await endFolder(lab, 'end', {
    config: `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: . }
forwards: { web: { listen: "192.0.2.77:80", target: "10.1.10.2:80" } }
`,
  })
  await refused(
    t,
    /cannot listen on 192\.0\.2\.77:80: no interface .*EADDRNOTAVAIL\)\. Give an address of this host/,
  )
  await nothingLeft(t, host, name)
})

t.test('an unprivileged user needs no right at all to only forward', async t => {
  const folder = await endFolder(lab, 'forward', {
    config: `forwards: { web: { listen: "127.0.0.1:8080", target: "127.0.0.1:8081", sendProxy: false } }
admin: { listen: "127.0.0.1:9587" }
`,
  })
  await chmod(lab.folder, 0o755)
  const env = { NODE_V8_COVERAGE: '' }
  const nobody = [
    'setpriv',
    '--reuid=65534',
    '--regid=65534',
    '--clear-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
  ]
  const end = startEnd(host, folder, { wrapper: nobody, env })
  await end.logged(line => line.msg === 'running')
  t.match(await end.logged(line => line.level === 'warn'), {
    msg: 'health and status will not find this end by themselves',
    error: /EACCES|EPERM|ENOENT/,
  })
  const answer = await host.run(async (_, { listen, openSocket }) => {
    await listen(8081)
    const client = await openSocket({ host: '127.0.0.1', port: 8080 })
    client.write('hello')
    const target = await openSocket({ listen: 8081 })
    const text = await new Promise<string>(resolve => target.once('data', data => resolve(data.toString())))
    for (const socket of [client, target]) socket.resume().end()
    return text
  })
  t.equal(answer, 'hello')
  t.equal((await command(host, 'health', '--url', 'http://127.0.0.1:9587')).code, 0)
  await end.stop()
  t.equal((await end.exited).code, 0)
})
