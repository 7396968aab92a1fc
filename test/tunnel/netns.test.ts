import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { cable, End, keys, Namespace, pair, peer, tunnelConfig } from './lab.ts'

const socketOf = (name: string) => `/var/run/wireguard/${name}.sock`

/** Not a zombie: whoever inherits an orphan may be slow to bury it. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'))
  } catch {
    return false
  }
}

t.test('two tunnels: handshake, both families, and nothing left after close', async t => {
  using left = new Namespace()
  using right = new Namespace()
  cable(left, right)
  const { gateway, cluster } = pair()
  {
    await using one = new End(left, { config: gateway })
    await one.up()
    await using other = new End(right, { config: cluster })
    await other.up()
    await Promise.all([one.message('handshake'), other.message('handshake')])
    t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED')
    t.equal(await one.ask('dial', 'fd00:10::2', 9), 'ECONNREFUSED')
    t.equal(await one.ask('bind', 'fd00:10::1'), 'bound')

    const status = await one.until(({ peers }) => peers[0].receivedBytes > 0, 'status')
    t.match(status, { listenPort: 51820, mtu: 1420, congestionControl: 'bbr' })
    t.match(status.process, { state: 'running', pid: Number, restarts: 0 })
    t.match(status.peers[0].endpoint, /^192\.0\.2\.2:\d+$/)
    t.same(await one.until(reasons => reasons.length === 0, 'reasons'), [])
    t.same(await other.ask('addresses'), ['10.1.10.2', 'fd00:10::2'])
    t.match(right.run('ip', 'route', 'show', '10.1.10.0/24'), /congctl bbr/)
    t.match(
      right.run('ip', '-6', 'route', 'show', 'fd00:10::/64'),
      /^fd00:10::\/64 .*congctl bbr[^\n]*\nunreachable fd00:10::\/64 [^\n]*\n$/,
    )
    t.match(left.run('ip', 'route', 'show', '10.1.10.2'), /congctl bbr/)
    t.notOk(JSON.stringify([one.events, other.events]).includes(gateway.privateKey), 'no key in the log')
  }
  for (const [space, { interface: name }] of [
    [left, gateway],
    [right, cluster],
  ] as const) {
    t.notOk(space.has(name), 'no interface')
    t.notOk(existsSync(socketOf(name)), 'no socket')
    t.throws(() => space.run('pgrep', '-f', `wireguard-go -f ${name}$`), 'no process')
    t.notOk(readFileSync('/proc/net/unix', 'latin1').includes(`@wg-punchhole/${name}`), 'no lock')
  }
  const file = join(gateway.stateDir, `${gateway.interface}.endpoints.json`)
  t.match(JSON.parse(readFileSync(file, 'utf8')).endpoints[cluster.publicKey], /^192\.0\.2\.2:/)
})

t.test('a killed wireguard-go comes back with everything, and readiness does not flap', async t => {
  using left = new Namespace()
  using right = new Namespace()
  cable(left, right)
  const { gateway, cluster } = pair({ gateway: { mtu: 1380, fwMark: 7 } })
  await using one = new End(left, { config: gateway })
  await one.up()
  await using other = new End(right, { config: cluster })
  await other.up()
  const before = await one.until(
    ({ peers }) => peers[0].endpoint !== undefined && peers[0].receivedBytes > 0,
    'status',
  )
  process.kill(before.process.pid, 'SIGKILL')
  const status = await one.until(
    ({ process }) => process.restarts === 1 && process.state === 'running',
    'status',
  )
  t.not(status.process.pid, before.process.pid)
  t.match(status, { listenPort: 51820, congestionControl: 'bbr' })
  t.equal(status.peers[0].endpoint, before.peers[0].endpoint, 'endpoint given back')
  t.ok(status.peers[0].lastHandshake >= before.peers[0].lastHandshake, 'handshake remembered')
  t.same(await one.ask('reasons'), [], 'still ready')
  t.equal(JSON.parse(left.run('ip', '-json', 'link', 'show', gateway.interface))[0].mtu, 1380)
  t.equal(await one.ask('dial', '10.1.10.2', 9), 'ECONNREFUSED', 'the gateway itself reaches its peer')
  t.match(await one.message('wireguard-go is not running'), { log: 'error', why: 'killed by SIGKILL' })
})

t.test('a removed device comes back', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  await using end = new End(space, { config: gateway })
  await end.up()
  space.run('ip', 'link', 'delete', gateway.interface)
  await end.until(({ process }) => process.restarts >= 1 && process.state === 'running', 'status')
  t.match(space.run('ip', 'address', 'show', gateway.interface), /10\.1\.10\.1\/24/)
  t.match(space.run('ip', 'route', 'show', '10.1.10.2'), /congctl bbr/)
})

t.test('without ip monitor a route that is gone is put back all the same, a little later', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  await using end = new End(space, { config: gateway })
  await end.up()
  const monitors = () =>
    execFileSync('ip', ['netns', 'pids', space.name], { encoding: 'utf8' })
      .split('\n')
      .filter(pid => pid !== '' && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('monitor'))
  process.kill(Number(monitors()[0]), 'SIGKILL')
  await end.message('ip monitor ended; changes of routes are found later')
  // While it is away; within a second it is there again.
  space.run('ip', 'route', 'delete', '10.1.10.2', 'dev', gateway.interface)
  t.strictSame((await end.message('tunnel device put back')).lost, ['route 10.1.10.2/32'])
  await end.until(({ device }) => device.putBack.route === 1, 'status')
  while (monitors().length === 0) await new Promise(resolve => setTimeout(resolve, 50))
  t.match(space.run('ip', 'route', 'show', '10.1.10.2'), /congctl bbr/)
})

t.test('after SIGKILL of the supervisor the next one adopts, and reconciles', async t => {
  using left = new Namespace()
  using right = new Namespace()
  cable(left, right)
  const { gateway, cluster } = pair()
  const killed = new End(left, { config: gateway })
  await killed.up()
  await using other = new End(right, { config: cluster })
  await Promise.all([other.up(), killed.message('handshake')])
  const { process: first, peers } = await killed.ask('status')
  await killed.kill()
  t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED', 'the tunnel works without it')

  const stranger = peer(keys().publicKey, ['10.1.11.0/24'])
  {
    await using next = new End(left, {
      config: {
        ...gateway,
        addresses: tunnelConfig(keys(), ['10.1.10.1/24', '10.1.12.1/24']).addresses,
        peers: [{ ...gateway.peers[0]!, trusted: [] }, stranger],
      },
    })
    await next.up()
    t.match(await next.message('tunnel up'), { adopted: true })
    const status = await next.ask('status')
    t.equal(status.process.pid, undefined)
    t.equal(status.peers[0].lastHandshake, peers[0].lastHandshake, 'session kept')
    t.same(await next.ask('reasons').then(all => all.map((reason: { peer: string }) => reason.peer)), [
      stranger.publicKey,
    ])
    const addresses = left.run('ip', 'address', 'show', gateway.interface)
    t.match(addresses, /10\.1\.12\.1\/24/)
    t.notMatch(addresses, /fd00:10::1/)
    t.equal(left.run('ip', 'route', 'show', '10.1.10.2'), '', 'route no longer wanted is gone')
    t.match(left.run('ip', 'route', 'show', '10.1.11.0/24'), /congctl bbr/)
    t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED')

    // Its exit is noticed too, though it is nobody's child.
    process.kill(first.pid, 'SIGKILL')
    const { process: second } = await next.until(status => status.process.pid !== undefined, 'status')
    t.match(second, { restarts: 1, state: 'running' })
    process.kill(second.pid, 'SIGTERM')
    await next.until(status => status.process.restarts === 2 && status.process.state === 'running', 'status')
    t.pass('an exit with status 0 that was not asked for counts as well')
  }
  t.notOk(left.has(gateway.interface))
})

t.test('an adopted wireguard-go ends with its second supervisor', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const killed = new End(space, { config: gateway })
  await killed.up()
  const { pid } = (await killed.ask('status')).process
  await killed.kill()
  {
    await using next = new End(space, { config: gateway })
    await next.up()
  }
  t.notOk(isAlive(pid))
  t.notOk(space.has(gateway.interface))
  t.notOk(existsSync(socketOf(gateway.interface)))
})

t.test('remains with another key are replaced', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const killed = new End(space, { config: gateway })
  await killed.up()
  const { pid } = (await killed.ask('status')).process
  await killed.kill()
  await using next = new End(space, { config: { ...gateway, ...keys() } })
  await next.up()
  t.match(await next.message('tunnel up'), { adopted: false, listenPort: 51820 })
  t.notOk(isAlive(pid))
})

t.test('a device and a socket without a process are taken over', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const killed = new End(space, { config: gateway })
  await killed.up()
  const { pid } = (await killed.ask('status')).process
  await killed.kill()
  process.kill(pid, 'SIGKILL')
  await using next = new End(space, { config: gateway })
  await next.up()
  t.match(await next.message('tunnel up'), { adopted: false })
})

t.test('interfaces of others are refused and not touched', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const name = gateway.interface
  for (const [kind, fix, ...command] of [
    ['tun', new RegExp(`systemctl stop wg-quick@${name}`), 'ip', 'tuntap', 'add', 'dev', name, 'mode', 'tun'],
    ['tap', /another tunnel\.interface/, 'ip', 'tuntap', 'add', 'dev', name, 'mode', 'tap'],
    ['veth', /another tunnel\.interface/, 'ip', 'link', 'add', name, 'type', 'veth'],
  ] as const) {
    space.run(...command)
    const before = space.run('ip', '-details', 'link', 'show', name)
    const end = new End(space, { config: gateway })
    t.match(await end.failed(), { failed: 'INTERFACE_TAKEN', error: new RegExp(kind), fix })
    await end.exited
    t.equal(space.run('ip', '-details', 'link', 'show', name), before)
    space.run('ip', 'link', 'delete', name)
  }
})

t.test('one end per interface name: in this namespace, and for the socket that namespaces share', async t => {
  using space = new Namespace()
  using elsewhere = new Namespace()
  const { gateway } = pair()
  await using first = new End(space, { config: gateway })
  await first.up()
  const second = new End(space, { config: gateway })
  t.match(await second.failed(), { failed: 'INTERFACE_TAKEN', error: /another wg-punchhole/ })
  const third = new End(elsewhere, { config: gateway })
  t.match(await third.failed(), { failed: 'INTERFACE_TAKEN', error: /another network namespace/ })
  await Promise.all([second.exited, third.exited])
  t.notOk(elsewhere.has(gateway.interface))
  t.match((await first.ask('status')).process, { state: 'running', restarts: 0 })
})

t.test('a busy port is an error that names it, and leaves nothing', async t => {
  using space = new Namespace()
  const [{ gateway: first }, { gateway: second }] = [pair(), pair()]
  await using end = new End(space, { config: first })
  await end.up()
  const refused = new End(space, { config: second })
  t.match(await refused.failed(), { failed: 'LISTEN_FAILED', error: /UDP port 51820/, fix: /51820/ })
  await refused.exited
  t.notOk(space.has(second.interface))
  t.notOk(existsSync(socketOf(second.interface)))
})

t.test('without rights each lack has its own message', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const within = (...wrapper: string[]) => new End(space, { config: gateway }, wrapper).failed()
  const inShell = (script: string) => within('sh', '-c', `${script} && exec "$@"`, 'sh')
  t.match(await within('setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin'), {
    failed: 'DEVICE_UNAVAILABLE',
    error: /TUNSETIFF|Operation not permitted/,
    fix: /NET_ADMIN/,
  })
  // ip-netns(8) gives each command a mount namespace of its own.
  t.match(await inShell('mkdir -p /run/wireguard && mount -t tmpfs -o ro tmpfs /run/wireguard'), {
    failed: 'RUN_FOLDER',
    fix: /\/var\/run\/wireguard/,
  })
  t.match(await inShell('mount -t tmpfs tmpfs /dev/net'), {
    failed: 'DEVICE_UNAVAILABLE',
    error: /does not exist/,
  })
  t.match(await within('env', 'PATH=/nowhere', 'WG_PUNCHHOLE_WIREGUARD_GO=/bin/true'), {
    failed: 'IP_FAILED',
    fix: /iproute2/,
  })
  t.match(await within('env', 'WG_PUNCHHOLE_WIREGUARD_GO=/bin/true'), {
    failed: 'TUNNEL_PROCESS',
    error: /exited with status 0/,
  })
  t.notOk(space.has(gateway.interface))
})

t.test('what the kernel lacks is left out', async t => {
  using space = new Namespace()
  space.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
  const { gateway } = pair({ gateway: { congestionControl: 'nosuch' } })
  await using end = new End(space, { config: gateway })
  await end.up()
  t.match(await end.message('this kernel does not have the congestion control, its own is used'), {
    log: 'warn',
    congestionControl: 'nosuch',
  })
  t.equal((await end.ask('status')).congestionControl, 'kernel')
  t.same(await end.ask('addresses'), ['10.1.10.1'])
  t.match(space.run('ip', 'route', 'show', '10.1.10.2'), new RegExp(gateway.interface))
})

t.test('routes: another table, none, and never over those of others', async t => {
  using space = new Namespace()
  space.run('ip', 'link', 'add', 'lan', 'type', 'veth')
  space.run('ip', 'address', 'add', '10.1.20.1/24', 'dev', 'lan')
  space.run('ip', 'link', 'set', 'lan', 'up')
  const peers = [peer(keys().publicKey, ['10.1.20.9/24', '10.1.30.0/24'])]
  const { gateway } = pair({ gateway: { peers } })
  {
    await using end = new End(space, { config: gateway })
    await end.up()
    t.match(await end.message('prefix is routed elsewhere already, left there'), {
      prefix: '10.1.20.0/24',
      interface: 'lan',
    })
    t.match(space.run('ip', 'route', 'show', '10.1.20.0/24'), /dev lan/)
    t.match(space.run('ip', 'route', 'show', '10.1.30.0/24'), /congctl bbr/)
    await end.kill()
  }
  {
    await using end = new End(space, { config: { ...gateway, table: 200, congestionControl: 'kernel' } })
    await end.up()
    t.equal(space.run('ip', 'route', 'show', '10.1.30.0/24'), '')
    t.match(space.run('ip', 'route', 'show', 'table', '200'), /10\.1\.30\.0\/24.*\n.*|10\.1\.20\.0/)
    await end.kill()
  }
  await using end = new End(space, { config: { ...gateway, table: 'off' } })
  await end.up()
  t.equal((await end.ask('status')).congestionControl, 'kernel')
  t.equal(space.run('ip', 'route', 'show', 'table', 'all', 'proto', '87'), '')
})

t.test('a route that was left to others is ours once they are gone, and all is well', async t => {
  using space = new Namespace()
  space.run('ip', 'link', 'add', 'lan', 'type', 'veth')
  space.run('ip', 'address', 'add', '10.1.20.1/24', 'dev', 'lan')
  space.run('ip', 'link', 'set', 'lan', 'up')
  const { gateway } = pair({ gateway: { peers: [peer(keys().publicKey, ['10.1.20.9/24'])] } })
  await using end = new End(space, { config: gateway })
  await end.up()
  t.equal((await end.ask('status')).congestionControl, 'kernel', 'there is no route of ours')
  space.run('ip', 'address', 'delete', '10.1.20.1/24', 'dev', 'lan')
  await end.message('tunnel device put back')
  t.match(space.run('ip', 'route', 'show', '10.1.20.0/24'), /congctl bbr/)
  t.equal((await end.ask('status')).congestionControl, 'bbr')
  await end.until(reasons => !JSON.stringify(reasons).includes('device-changed'), 'reasons')
  // Whatever else changes, it is not put back again.
  space.run('ip', 'link', 'set', gateway.interface, 'mtu', '1300')
  await end.event(({ lost }) => `${lost}`.includes('MTU'))
  const lost = end.events
    .filter(({ message }) => message === 'tunnel device put back')
    .map(({ lost }) => lost)
  t.strictSame(lost, [['route 10.1.20.0/24'], ['MTU 1420, found 1300']])
})

t.test('an endpoint by name: handshake as soon as it resolves, a reason while it does not', async t => {
  using left = new Namespace()
  using right = new Namespace()
  cable(left, right)
  const { gateway, cluster } = pair({ endpoint: { host: 'gateway.example', port: 51820 } })
  await using one = new End(left, { config: gateway })
  {
    await using lost = new End(right, { config: cluster, debug: true })
    await Promise.all([one.up(), lost.up()])
    const reasons = await lost.until(all => /no such name/.test(JSON.stringify(all)), 'reasons')
    t.match(reasons[0], { code: 'endpoint-unresolved', detail: /gateway\.example/, peer: gateway.publicKey })
    t.match(reasons[1], { code: 'no-handshake' })
    t.ok(lost.events.some(({ message, log }) => message === 'wireguard-go' && log === 'debug'))
    t.notOk(JSON.stringify(lost.events).includes(cluster.privateKey))
  }
  await using other = new End(right, {
    config: cluster,
    names: { 'gateway.example': ['2001:db8:dead::1', '192.0.2.1'] },
  })
  await other.up()
  t.match(await other.message('handshake'), { endpoint: '192.0.2.1:51820' })
  t.same(await other.until(reasons => reasons.length === 0, 'reasons'), [])
})
