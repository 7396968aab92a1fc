import t from 'tap'
import type { TunnelConfig } from '../../src/config/config.ts'
import { cable, End, keys, Namespace, pair, peer, presharedKey, tunnelConfig } from './lab.ts'

/** A gateway and a cluster end with a session, and a third peer that the gateway may have. */
async function joined(more: Parameters<typeof pair>[0] = {}) {
  const scope = new AsyncDisposableStack()
  const [left, right] = [scope.use(new Namespace()), scope.use(new Namespace())]
  cable(left, right)
  const { gateway, cluster } = pair(more)
  const one = scope.use(new End(left, { config: gateway, names: { 'gateway.example': ['192.0.2.1'] } }))
  await one.up()
  const other = scope.use(new End(right, { config: cluster, names: { 'gateway.example': ['192.0.2.1'] } }))
  await Promise.all([other.up(), one.message('handshake'), other.message('handshake')])
  const lastHandshake = async () => (await one.ask('status')).peers[0].lastHandshake
  return {
    left,
    right,
    gateway,
    cluster,
    one,
    other,
    lastHandshake,
    [Symbol.asyncDispose]: () => scope.disposeAsync(),
  }
}

const addresses = (...texts: string[]) => tunnelConfig(keys(), texts).addresses

t.test('peers come and go, and the sessions of the others stay', async t => {
  await using lab = await joined()
  const { one, other, left, gateway, cluster } = lab
  const handshake = await lab.lastHandshake()
  const third = peer(keys().publicKey, ['10.1.11.0/24'])
  t.equal(await one.ask('apply', { ...gateway, peers: [...gateway.peers, third] }), 'applied')
  t.match(left.run('ip', 'route', 'show', '10.1.11.0/24'), /congctl bbr/)
  t.equal((await one.ask('status')).peers.length, 2)
  t.match(await one.ask('reasons'), [{ code: 'no-handshake', peer: third.publicKey }])
  t.equal(await one.ask('apply', { ...gateway, peers: [{ ...gateway.peers[0]!, keepalive: 7 }] }), 'applied')
  t.equal(left.run('ip', 'route', 'show', '10.1.11.0/24'), '')
  t.same(await one.ask('reasons'), [])
  t.equal(await lab.lastHandshake(), handshake)
  t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED')

  // A preshared key that only one side has shows at the next handshake.
  const psk = presharedKey()
  const keyed = (config: TunnelConfig) => ({ ...config, peers: [{ ...config.peers[0]!, presharedKey: psk }] })
  t.equal(await one.ask('apply', keyed(gateway)), 'applied')
  t.equal(await other.ask('apply', keyed(cluster)), 'applied')
  t.equal(await lab.lastHandshake(), handshake)
  const moved = { ...keyed(cluster).peers[0]!, endpoint: { host: 'gateway.example', port: 51820 } }
  t.equal(await other.ask('apply', { ...cluster, peers: [moved] }), 'applied')
  await one.until(({ peers }) => peers[0].lastHandshake > handshake, 'status')
  t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED', 'another endpoint is used at once')
  t.same(await other.until(reasons => reasons.length === 0, 'reasons'), [])
})

t.test('our own key changes', async t => {
  await using lab = await joined()
  const { one, other, gateway, cluster } = lab
  const handshake = await lab.lastHandshake()
  const next = keys()
  t.equal(
    await one.ask('apply', { ...gateway, peers: [{ ...gateway.peers[0]!, publicKey: next.publicKey }] }),
    'applied',
  )
  t.equal(await other.ask('apply', { ...cluster, ...next }), 'applied')
  await one.until(({ peers }) => peers[0].lastHandshake > handshake, 'status')
  t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED')
  t.equal((await other.ask('status')).publicKey, next.publicKey)
  t.notOk(JSON.stringify([one.events, other.events]).includes(next.privateKey))
})

t.test('addresses, MTU, routes, congestion control, port and mark', async t => {
  await using lab = await joined()
  const { one, other, left, gateway } = lab
  const to = {
    ...gateway,
    addresses: addresses('10.1.10.9/24', '10.1.12.1/24', 'fd00:10::1/64'),
    mtu: 1300,
    fwMark: 9,
    listenPort: 51821,
    congestionControl: 'cubic',
    peers: [{ ...gateway.peers[0]!, trusted: gateway.peers[0]!.trusted.slice(0, 1) }],
  }
  t.equal(await one.ask('apply', to, 80), 'applied')
  const name = gateway.interface
  const shown = left.run('ip', 'address', 'show', name)
  t.match(shown, /10\.1\.12\.1\/24/)
  t.match(shown, /10\.1\.10\.9\/24/)
  t.notMatch(shown, /10\.1\.10\.1\/24/)
  t.match(shown, /mtu 1300/)
  t.match(left.run('ip', 'route', 'show', '10.1.10.2'), /congctl cubic/)
  t.equal(left.run('ip', '-6', 'route', 'show', 'fd00:10::2'), '')
  t.match(await one.until(({ listenPort }) => listenPort === 51821, 'status'), {
    mtu: 1300,
    congestionControl: 'cubic',
  })
  t.same(await one.ask('addresses'), ['10.1.10.9', '10.1.12.1', 'fd00:10::1'])
  t.equal(
    await one.ask('dial', '10.1.10.2', 9),
    'ECONNREFUSED',
    'the peer learns the new port from what it gets',
  )
  t.equal(await other.ask('dial', '10.1.10.9', 9), 'ECONNREFUSED')
  t.equal(await one.ask('apply', { ...gateway, table: 'off' }), 'applied')
  t.equal(left.run('ip', 'route', 'show', 'table', 'all', 'proto', '87'), '')
})

t.test('one failure refuses the whole', async t => {
  await using lab = await joined()
  const { one, other, left, gateway } = lab
  const handshake = await lab.lastHandshake()
  const before = () => left.run('ip', 'address', 'show', gateway.interface)
  const unchanged = async (what: string) => {
    t.equal(before(), shown, what)
    t.match(await one.ask('status'), { mtu: 1420, listenPort: 51820, peers: { length: 1 } })
    t.equal(await lab.lastHandshake(), handshake)
    t.equal(await other.ask('dial', '10.1.10.1', 9), 'ECONNREFUSED')
  }
  const shown = before()
  const to = {
    ...gateway,
    addresses: addresses('10.1.10.1/24', '10.1.12.1/24'),
    mtu: 1300,
    peers: [...gateway.peers, peer(keys().publicKey, ['10.1.12.0/24'])],
  }
  t.match(await one.ask('apply', to, 70_000), { code: 'ERR_SOCKET_BAD_PORT' })
  await unchanged('a listener that cannot be bound')
  await using taken = new End(left, { config: tunnelConfig(keys(), ['10.1.13.1/24'], { listenPort: 51821 }) })
  await taken.up()
  t.match(await one.ask('apply', { ...to, listenPort: 51821 }), {
    code: 'LISTEN_FAILED',
    message: /51821/,
    fix: /51821/,
  })
  await unchanged('a busy port')
  t.match(await one.ask('apply', { ...to, interface: gateway.interface, table: 4_294_967_296 }), {
    code: 'IP_FAILED',
  })
  await unchanged('a route that the kernel refuses')
})
