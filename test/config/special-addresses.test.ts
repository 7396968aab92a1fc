import t, { type Test } from 'tap'
import { load as loadFiles, own, peerA } from '../fixtures/config.ts'

/** Addresses that a config may name and an end cannot use: each is told by `check`, and not found out by `run`. */

function load(
  t: Test,
  { address = '10.1.10.1/24', listen = ':80', target = '10.1.10.2:80', more = '', peer = '' },
) {
  const files = {
    'config.yaml': `tunnel: {wgConf: wg0.conf${more}}\nforwards: {web: {listen: "${listen}", target: "${target}"}}\n`,
    'wg0.conf': `[Interface]\nAddress = ${address}\nPrivateKey = ${own.privateKey}\n[Peer]\nPublicKey = ${peerA}\nAllowedIPs = 10.1.10.0/24\n${peer}\n`,
  }
  return loadFiles(t, files)
}

t.test('an Address that no device can have, or nobody can reach', async t => {
  for (const [address, what] of [
    ['0.0.0.0', /0\.0\.0\.0\/32, an address of "this network"/],
    ['0.1.2.3/8', /0\.1\.2\.3\/8, an address of "this network"/],
    ['127.0.0.1', /a loopback address/],
    ['127.3.2.1/8', /a loopback address/],
    ['224.0.0.1', /a multicast address/],
    ['239.1.1.1/24', /a multicast address/],
    ['255.255.255.255', /the broadcast address; allowed/],
    ['::', /the unspecified address/],
    ['::1', /a loopback address/],
    ['ff02::5', /a multicast address/],
    ['::ffff:10.1.10.1', /an IPv4-mapped address/],
  ] as const) {
    const { config, lines } = await load(t, { address: `10.1.10.1/24, ${address}` })
    t.match(
      lines,
      [/^wg0\.conf:2:25: error: Interface\.Address: found .*; allowed: an address that the other/],
      address,
    )
    t.match(lines, [what])
    t.equal(lines.length, 1)
    t.equal(config, undefined)
  }
})

t.test('an IPv6 address that a device can have only once', async t => {
  t.match((await load(t, { address: 'fd00::1/64, 10.1.10.1/24, 10.1.10.1/32, FD00:0::1/128' })).lines, [
    /^wg0\.conf:2:51: error: Interface\.Address: found fd00::1 of line 2 again; remove it here/,
  ])
})

t.test('link-local addresses are had, and not listened on', async t => {
  const { config, lines } = await load(t, { address: '10.1.10.1/24, fe80::2/64' })
  t.strictSame(lines, [
    'wg0.conf:2:25: warning: Interface.Address: found the link-local address fe80::2: the device gets it, and nothing listens there',
  ])
  t.match(config?.tunnel?.addresses, [{ address: '10.1.10.1' }])
  t.equal(config?.tunnel?.addresses.length, 1)
  t.match(config?.tunnel?.linkLocal, [{ address: 'fe80::2', bits: 64 }])
  for (const alone of ['fe80::2/64', 'febf::1, fe80::1/10'])
    t.match((await load(t, { address: alone })).lines, [
      /^wg0\.conf:2:11: error: Interface\.Address: found link-local addresses alone, where nothing can listen; add/,
    ])
  // IPv4's can be listened on like any other.
  t.strictSame((await load(t, { address: '169.254.3.1/24, 10.1.10.1/24' })).lines, [])
})

t.test('an Address that works, and hardly as it is meant', async t => {
  t.match((await load(t, { address: '10.1.10.1/24, 10.1.11.255/24' })).lines, [
    /^wg0\.conf:2:25: warning: .* found 10\.1\.11\.255\/24, the broadcast address of its subnet/,
  ])
  t.match((await load(t, { address: '10.1.10.1/24, 10.9.9.9/0' })).lines, [
    /^wg0\.conf:2:25: warning: .* whose subnet is shorter than \/8: the kernel routes all of it into the tunnel/,
  ])
  for (const fine of ['10.1.11.255', '10.1.11.1/31', '10.1.10.1', '10.1.11.0/24', '240.0.0.1', 'fd00::/64'])
    t.strictSame((await load(t, { address: `10.1.10.1/24, ${fine}` })).lines, [], fine)
})

t.test('an address where nobody can connect, to listen on or as a target', async t => {
  for (const host of ['224.0.0.1', '255.255.255.255', '[ff02::1]', '[fe80::9]']) {
    t.match((await load(t, { listen: `${host}:80` })).lines, [
      /^config\.yaml:2:.*: error: forwards\.web\.listen: found .*, (a|the) .* address, where nobody can connect/,
    ])
    t.match((await load(t, { target: `${host}:80` })).lines, [
      /^config\.yaml:2:.*: error: forwards\.web\.target: found .*, (a|the) .* address, which nothing can connect to/,
    ])
    const files = {
      'config.yaml': `admin: {listen: "${host}:9586"}\nforwards: {web: {listen: ":80", target: "x:80"}}\n`,
    }
    t.match((await loadFiles(t, files)).lines, [/^config\.yaml:1:.*: error: admin\.listen: found/])
    t.match((await load(t, { peer: `Endpoint = ${host}:51820` })).lines, [
      /^wg0\.conf:7:12: warning: Peer\.Endpoint: found .*: nothing sent there arrives/,
    ])
  }
})

t.test('a peer is not looked for at a link-local address', async t => {
  const named = await load(t, {
    more: `, probe: {addresses: {"${peerA}": "fe80::1"}}`,
    peer: 'AllowedIPs = fe80::1/128',
  })
  t.match(named.lines, [
    /^config\.yaml:1:.*: error: tunnel\.probe\.addresses.*: found the link-local address fe80::1/,
  ])
  const found = await load(t, { peer: 'AllowedIPs = fe80::1/128, fd00::2/128' })
  t.equal(found.config?.tunnel?.peers[0]?.address, 'fd00::2')
})

t.test('interface names that the kernel keeps for itself', async t => {
  for (const name of ['lo', 'all', 'default', 'wg0123456789abcd', 'a/b', '..', 'wg%d', '""'])
    t.match((await load(t, { more: `, interface: ${name}` })).lines, [
      /error: tunnel\.interface: found .*; allowed: 1 to 15/,
    ])
  t.strictSame((await load(t, { more: ', interface: lo0' })).lines, [])
})
