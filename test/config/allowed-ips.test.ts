import t from 'tap'
import { readHost } from '../../src/config/host.ts'
import { load as loadFiles, own, peerA, peerB, quietHost } from '../fixtures/config.ts'

/** Loads a config whose [Peer] has these lines. */
function load(
  t: Parameters<typeof loadFiles>[0],
  peer: string,
  options: { section?: string; end?: string; host?: object } = {},
) {
  const { section = '', end = 'Address = 10.1.10.1', host = {} } = options
  const files = {
    'config.yaml': `tunnel: {wgConf: wg0.conf${section}}\nforwards: {web: {listen: "tunnel:80", target: "x:80"}}\n`,
    'wg0.conf': `[Interface]\n${end}\nPrivateKey = ${own.privateKey}\n[Peer]\nPublicKey = ${peerA}\n${peer}\n`,
  }
  return loadFiles(t, files, {}, { ...quietHost, ...host })
}

t.test('a prefix that is too short is neither routed nor trusted', async t => {
  for (const [prefix, width] of [
    ['0.0.0.0/0', 8],
    ['128.0.0.0/1', 8],
    ['10.0.0.0/7', 8],
    ['::/0', 32],
    ['fd00::/31', 32],
  ] as const) {
    const { config, lines } = await load(t, `AllowedIPs = ${prefix}`)
    t.match(lines, [`wg0.conf:6:14: warning: Peer.AllowedIPs: found `])
    t.match(lines[0], `shorter than /${width}: it is neither routed nor trusted`)
    t.match(lines[0], `tunnel.probe.addresses: {"${peerA}": IP}`)
    t.same(config?.tunnel?.peers[0]?.trusted, [])
    t.equal(config?.tunnel?.peers[0]?.allowedIps.length, 1, 'WireGuard still has it')
    t.same(config?.forwards[0]?.trustedProxies, [])
  }
  t.same((await load(t, 'AllowedIPs = 10.0.0.0/8, fd00::/32')).lines, [])
})

t.test('whether a route may lead back to a peer', async t => {
  const routed = async (lines: string, own: string) => {
    const { config } = await load(t, lines, { end: own })
    return config?.tunnel?.peers[0]?.mayBeRouted
  }
  for (const lines of ['AllowedIPs = 0.0.0.0/0, ::/0', '']) {
    t.equal(await routed(lines, 'Address = 10.1.10.1'), false, 'by the default route alone')
    t.equal(await routed(lines, 'Address = 10.1.10.1/24'), true, "the kernel's own")
    t.equal(await routed(lines, 'Address = 10.1.10.1, fe80::1/64'), false, 'nothing is sent from there')
    t.equal(await routed(lines, 'Address = 10.1.10.1\nTable = off'), true, "somebody else's")
  }
  t.equal(await routed('AllowedIPs = 10.1.10.2/32', 'Address = 10.1.10.1'), true, 'ours')
})

t.test("the peer's own address is then routed and trusted alone", async t => {
  const section = `, probe: {addresses: {"${peerA}": 10.1.10.2}}`
  const { config, lines } = await load(t, 'AllowedIPs = 0.0.0.0/0, ::/0\nEndpoint = 198.51.100.1:51820', {
    section,
  })
  t.same(lines, [])
  const alone = [{ address: '10.1.10.2', bits: 32, family: 4 }]
  t.same(config?.tunnel?.peers[0]?.trusted, alone)
  t.equal(config?.tunnel?.peers[0]?.address, '10.1.10.2')
  t.same(config?.forwards[0]?.trustedProxies, alone)
  const v6 = await load(t, 'AllowedIPs = ::/0', { section: `, probe: {addresses: {"${peerA}": "FD00::2"}}` })
  t.same(v6.config?.tunnel?.peers[0]?.trusted, [{ address: 'fd00::2', bits: 128, family: 6 }])
})

t.test('probe addresses belong to a peer', async t => {
  const named = async (key: string, address: string) =>
    (await load(t, 'AllowedIPs = 10.1.10.2/24', { section: `, probe: {addresses: {"${key}": ${address}}}` }))
      .lines
  t.same(await named(peerA, '10.1.10.7'), [])
  t.match(await named(peerB, '10.1.10.7'), [
    /^config.yaml:1:48: error: tunnel.probe.addresses.*: found no peer with this key; allowed: BGp/,
  ])
  t.match(await named(peerA, '10.1.11.7'), [
    /: found 10.1.11.7; allowed: an address inside the peer's AllowedIPs 10.1.10.2\/24$/,
  ])
  t.match(await named('x', '10.1.10.7'), [/: found "x"; allowed: a peer's public key/])
  t.match(await named(peerA, 'web'), [/: found "web"; allowed: an IP address/])
})

t.test('where a peer is', async t => {
  const address = async (allowedIps: string) =>
    (await load(t, `AllowedIPs = ${allowedIps}`)).config?.tunnel?.peers[0]?.address
  t.equal(await address('10.1.10.0/24, 10.1.11.2/32, 10.1.12.2'), '10.1.11.2')
  t.equal(await address('10.1.10.0/24, fd00::2'), 'fd00::2')
  t.equal(await address('10.1.10.2/24'), undefined)
})

t.test('what the tunnel itself or the host needs outside of it', async t => {
  const endpoint = 'Endpoint = 10.9.0.1:51820'
  t.match((await load(t, `AllowedIPs = 10.1.10.2, 10.0.0.0/8\n${endpoint}`)).lines, [
    /^wg0.conf:6:25: error: Peer.AllowedIPs: found 10.0.0.0\/8, which covers the peer's endpoint 10.9.0.1: .*; narrow it/,
  ])
  const off = { end: 'Address = 10.1.10.1\nTable = off' }
  t.same((await load(t, `AllowedIPs = 10.0.0.0/8\n${endpoint}`, off)).lines, [], 'no routes, no loop')
  t.same((await load(t, 'AllowedIPs = 10.0.0.0/8\nEndpoint = example.com:1')).lines, [])
  t.match((await load(t, 'AllowedIPs = fd00::/48\nEndpoint = [fd00::9]:1')).lines, [/endpoint fd00::9/])
  const gateway = await load(t, 'AllowedIPs = 10.0.0.0/8', { host: { gateways: ['10.0.0.1'] } })
  t.ok(gateway.config)
  t.match(gateway.lines, [
    /^wg0.conf:6:14: warning: .*covers this host's default gateway 10.0.0.1; narrow it to the peer's/,
  ])
  const server = await load(t, 'AllowedIPs = 10.0.0.0/8', { host: { nameservers: ['10.43.0.10'] } })
  t.match(server.lines, [/warning: .*covers the nameserver 10.43.0.10 of \/etc\/resolv.conf: .*; narrow it/])
})

t.test('one prefix, one peer', async t => {
  const second = (prefix: string) => `[Peer]\nPublicKey = ${peerB}\nAllowedIPs = ${prefix}`
  t.match((await load(t, `AllowedIPs = 10.1.10.2/24\n${second('10.1.10.3/24')}`)).lines, [
    /^wg0.conf:9:14: error: Peer.AllowedIPs: found 10.1.10.0\/24 again, it is the peer's in line 6 already/,
  ])
  t.same(
    (await load(t, `AllowedIPs = 10.1.10.0/24\n${second('10.1.10.3/32')}`)).lines,
    [],
    'the longer one wins',
  )
  const twice = await load(t, 'AllowedIPs = 10.1.10.2/24, 10.1.10.3/24, 10.1.10.2/24')
  t.same(twice.lines, [])
  t.same(twice.config?.tunnel?.peers[0]?.allowedIps, [{ address: '10.1.10.2', bits: 24, family: 4 }])
  t.match((await load(t, '')).lines, [/^wg0.conf:5:13: warning: Peer.AllowedIPs: missing/])
})

t.test('IPv6 asks for an MTU of 1280, and for a kernel that has it', async t => {
  const both = 'Address = 10.1.10.1, fd00::1/64'
  t.match((await load(t, 'AllowedIPs = 10.1.10.2', { end: `${both}\nMTU = 1279` })).lines, [
    /^wg0.conf:3:7: error: Interface.MTU: found 1279; allowed with the IPv6 Address fd00::1: 1280 and more/,
  ])
  t.match((await load(t, 'AllowedIPs = 10.1.10.2', { end: both, section: ', mtu: 1000' })).lines, [
    /^config.yaml:1:33: error: tunnel.mtu: found 1000; allowed/,
  ])
  const raised = await load(t, 'AllowedIPs = 10.1.10.2', {
    end: `${both}\nMTU = 1000`,
    section: ', mtu: 1280',
  })
  t.equal(raised.config?.tunnel?.mtu, 1280, "the section's wins")
  t.equal(
    (await load(t, 'AllowedIPs = 10.1.10.2', { end: 'Address = 10.1.10.1\nMTU = 600' })).config?.tunnel?.mtu,
    600,
  )

  const host = { ipv6: false }
  const without = await load(t, 'AllowedIPs = 10.1.10.2, fd00::2', { end: both, host })
  t.match(without.lines, [
    /^wg0.conf:2:22: warning: Interface.Address: found IPv6, which this kernel has none of/,
    /^wg0.conf:6:25: warning: Peer.AllowedIPs: found IPv6/,
  ])
  t.same(without.config?.tunnel?.addresses, [{ address: '10.1.10.1', bits: 32, family: 4 }])
  t.same(without.config?.tunnel?.peers[0]?.trusted, [{ address: '10.1.10.2', bits: 32, family: 4 }])
  const only = await load(t, 'AllowedIPs = fd00::2', { end: 'Address = fd00::1', host })
  t.match(only.lines.join('\n'), /error: Interface.Address: found no address that this kernel can have/)
})

t.test("the host's own network", async t => {
  const files: Record<string, string> = {
    '/proc/net/route':
      'Iface\tDestination\tGateway\nwg0\t00000000\t00000000\t0001\neth0\t00000000\t010200C0\t0003\neth0\t000200C0\t00000000\t0001\n',
    '/proc/net/ipv6_route': `${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 fe80${'0'.repeat(27)}1 00000400 00000001 00000000 00000003 eth0\n${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} ffffffff lo\n`,
    '/etc/resolv.conf':
      '# x\nsearch example.com\nnameserver 192.0.2.53\nnameserver\n nameserver 2001:db8::53\n',
    '/proc/net/if_inet6': '',
    '/proc/sys/net/ipv4/tcp_congestion_control': 'cubic\n',
    '/proc/self/limits':
      'Limit Soft Limit Hard Limit Units\nMax processes 1 1 processes\nMax open files            4096                 524288               files\n',
  }
  t.same(await readHost(async path => files[path]!), {
    gateways: ['192.0.2.1', 'fe80::1'],
    nameservers: ['192.0.2.53', '2001:db8::53'],
    ipv6: true,
    congestionControl: 'cubic',
    openFiles: 4096,
  })
  const nothing = async () => {
    throw new Error('ENOENT')
  }
  t.same(await readHost(nothing), {
    gateways: [],
    nameservers: [],
    ipv6: false,
    congestionControl: '',
    openFiles: 1024,
  })
  const own = await readHost()
  t.type(own.ipv6, 'boolean')
  t.ok(own.openFiles > 0)
})
