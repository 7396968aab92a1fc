import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Finding } from '../../src/doctor/finding.ts'
import { commandLine, endFolder, keyPairs } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'

/** What a host may lack: `doctor` names it, with what to do, before the first start. */
const lab = await Lab.create(`d${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('end')
const name = `${lab.id}w`
const keys = keyPairs()
const forwards = `forwards:
  web: { listen: ":8080", target: "10.1.10.1:80" }
  dns: { protocol: udp, listen: ":8080", target: "10.1.10.1:53" }
`
const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${name}, stateDir: . }\n`
const wgConf = `[Interface]
Address = 10.1.10.2
PrivateKey = ${keys.cluster.privateKey}
ListenPort = 51820
[Peer]
PublicKey = ${keys.gateway.publicKey}
Endpoint = 198.51.100.1:51820
AllowedIPs = 10.1.10.1/32
`
const folder = await endFolder(lab, 'end', { config: tunnel + forwards, wgConf })

async function doctor({
  config = join(folder, 'config.yaml'),
  wrapper = [],
}: {
  config?: string
  wrapper?: readonly string[]
} = {}): Promise<{ code: number | null; findings: Finding[]; output: string }> {
  const [command, ...args] = [...wrapper, ...commandLine(['doctor', '--json', '--config', config])]
  const running = host.start(command!, args)
  const { code } = await running.exited
  const { output } = running
  return { code, findings: output.startsWith('[') ? JSON.parse(output) : [], output }
}

const failures = (findings: readonly Finding[]) => findings.filter(({ state }) => state === 'failed')

t.test('nothing is wrong, but that no end runs', async t => {
  const { code, findings } = await doctor()
  t.equal(code, 0)
  t.same(failures(findings), [])
  t.match(
    findings.find(({ step }) => step === 'running end'),
    { state: 'warning', fix: /wg-punchhole run/ },
  )
  t.same(
    findings.map(({ step }) => step),
    [
      ...['config', 'running end', 'tunnel device', 'capability', 'run folder', 'wireguard-go', 'interface'],
      ...['UDP port', 'listener of web', 'listener of dns', 'admin listener'],
    ],
  )
})

/** ip-netns(8) gives each command a mount namespace of its own. */
const inShell = (script: string) => ['sh', '-c', `${script} && exec "$@"`, 'sh']
const without = (capability: string, ...more: string[]) => [
  'setpriv',
  `--bounding-set=-${capability}`,
  `--inh-caps=-${capability}`,
  ...more,
]
const lacks: Readonly<Record<string, readonly [wrapper: readonly string[], finding: object]>> = {
  'no /dev/net/tun': [
    inShell('mount -t tmpfs tmpfs /dev/net'),
    { step: 'tunnel device', found: /does not exist/, fix: /--device \/dev\/net\/tun/ },
  ],
  'no TUN driver in the kernel': [
    // A number of the misc driver that nobody has: as of a module that is not loaded.
    inShell('mount -t tmpfs -o dev tmpfs /dev/net && mknod /dev/net/tun c 10 63'),
    { step: 'tunnel device', found: /the kernel has no TUN driver/, fix: /modprobe tun/ },
  ],
  'no NET_ADMIN': [
    without('net_admin'),
    { step: 'capability', found: /NET_ADMIN/, fix: /--cap-add NET_ADMIN/ },
  ],
  'a run folder that cannot be written': [
    inShell(
      'mkdir -p /run/wireguard && mount --bind /run/wireguard /run/wireguard && mount -o remount,ro,bind /run/wireguard',
    ),
    { step: 'run folder', found: /not writable/, fix: /Mount a volume or a tmpfs/ },
  ],
  'no wireguard-go': [
    ['env', 'WG_PUNCHHOLE_WIREGUARD_GO=/nowhere/wireguard-go'],
    { step: 'wireguard-go', found: /looked at \/nowhere/, fix: /WG_PUNCHHOLE_WIREGUARD_GO/ },
  ],
}

for (const [what, [wrapper, finding]] of Object.entries(lacks))
  t.test(what, async t => {
    const { code, findings, output } = await doctor({ wrapper })
    t.equal(code, 1)
    t.match(failures(findings), [finding], output)
  })

t.test('ports that are taken, and one below 1024 without the right', async t => {
  await host.run(async (_, { state }) => {
    const { createServer } = await import('node:net')
    const { createSocket } = await import('node:dgram')
    const tcp = createServer()
    const udp = createSocket('udp4')
    const dns = createSocket('udp4')
    await new Promise<void>(resolve => tcp.listen(8080, () => resolve()))
    await new Promise<void>(resolve => udp.bind(51820, () => resolve()))
    await new Promise<void>(resolve => dns.bind(8080, () => resolve()))
    state.set('holders', [tcp, udp, dns])
  }, undefined)
  const { code, findings } = await doctor()
  t.equal(code, 1)
  t.match(failures(findings), [
    { step: 'UDP port', found: /51820 .*EADDRINUSE/, fix: /systemctl stop wg-quick@wg0/ },
    { step: 'listener of web', found: /8080.*in use/, fix: /ss -lntup/ },
    { step: 'listener of dns', found: /8080.*in use/, fix: /ss -lntup/ },
  ])
  await host.run((_, { state }) => {
    for (const holder of state.get('holders') as { close(): void }[]) holder.close()
  }, undefined)

  const low = join(folder, 'low.yaml')
  await writeFile(low, tunnel + forwards.replace(':8080', ':80').replace(':8080', ':53'))
  const denied = await doctor({ config: low, wrapper: without('net_bind_service') })
  t.match(failures(denied.findings), [
    { step: 'listener of web', found: /no right/, fix: /NET_BIND_SERVICE/ },
    { step: 'listener of dns', found: /53.*no right/, fix: /NET_BIND_SERVICE/ },
  ])
})

t.test('an endpoint whose name has no address', async t => {
  const named = join(folder, 'named.yaml')
  await writeFile(named, tunnel.replace('wg0.conf', 'named.conf') + forwards)
  await writeFile(join(folder, 'named.conf'), wgConf.replace('198.51.100.1:', 'gateway.invalid:'), {
    mode: 0o600,
  })
  const { code, findings } = await doctor({ config: named })
  t.equal(code, 1)
  t.match(failures(findings), [{ step: 'endpoint gateway.invalid', fix: /getent hosts gateway\.invalid/ }])
})

t.test('an interface of that name that is not ours', async t => {
  await host.exec('ip', 'tuntap', 'add', 'dev', name, 'mode', 'tun')
  const { findings } = await doctor()
  t.match(failures(findings), [{ step: 'interface', found: /not ours/, fix: /wg-quick/ }])
  await host.exec('ip', 'link', 'delete', name)
})

t.test('a key file of another owner, as in a container without DAC_OVERRIDE', async t => {
  await host.exec('chown', '1000', join(folder, 'wg0.conf'))
  const { code, findings } = await doctor({ wrapper: without('dac_override,-dac_read_search') })
  t.equal(code, 3)
  t.match(failures(findings), [{ step: 'config', found: /run chown 0:0 .*wg0\.conf/ }])
  await host.exec('chown', '0', join(folder, 'wg0.conf'))
})

t.test('a config with an error, and none at all', async t => {
  const bad = join(folder, 'bad.yaml')
  await writeFile(bad, `${tunnel}forwards: { web: { listen: ":8080" } }\n`)
  const wrong = await doctor({ config: bad })
  t.equal(wrong.code, 3)
  t.match(failures(wrong.findings), [{ step: 'config', found: /bad\.yaml:2:.*target/ }])
  t.equal((await doctor({ config: join(folder, 'none.yaml') })).code, 3)
})

t.test('for a person: what failed, and below it what to do; a trace needs an end', async t => {
  const config = join(folder, 'config.yaml')
  const say = async (...args: string[]) => {
    const running = host.start('env', ['WG_PUNCHHOLE_WIREGUARD_GO=/x', ...commandLine(['doctor', ...args])])
    return [(await running.exited).code, running.output] as const
  }
  const [code, output] = await say('--config', config)
  t.equal(code, 1)
  t.match(output, /^ok {7}config .*\n/)
  t.match(output, /^FAILED {3}wireguard-go +there is no wireguard-go.*\n +→ Set WG_PUNCHHOLE_WIREGUARD_GO/m)
  t.match(await say('--config', config, '--trace'), [1, /no end answers at .*\. Start it/])
  t.match(await say('--unknown'), [2, /--unknown/])
})
