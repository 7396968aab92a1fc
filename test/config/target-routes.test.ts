import t, { type Test } from 'tap'
import { load as loadFiles, own, peerA } from '../fixtures/config.ts'

/** Targets that no route of ours leads to. */
function linesOf(
  t: Test,
  {
    address = '10.1.10.1',
    table = 'auto',
    allowed = '10.1.10.2/32',
    listen = ':80',
    target = '"10.1.10.2:80"',
  },
) {
  return loadFiles(t, {
    'config.yaml': `tunnel: {wgConf: wg0.conf}\nforwards: {web: {listen: "${listen}", target: ${target}}}\n`,
    'wg0.conf': `[Interface]\nAddress = ${address}\nTable = ${table}\nPrivateKey = ${own.privateKey}\n[Peer]\nPublicKey = ${peerA}\nAllowedIPs = ${allowed}\n`,
  }).then(({ lines }) => lines.filter(line => !line.includes('Peer.AllowedIPs')))
}

t.test('Table = off without a route of the kernel', async t => {
  t.strictSame(await linesOf(t, { table: 'off' }), [
    "config.yaml:2:41: warning: forwards.web.target: found 10.1.10.2, a peer's, and with Table = off no route leads there: until one does, connections to it are refused; make one (ip route add 10.1.10.2 dev wg0) as soon as the tunnel is up, or leave out Table",
  ])
  t.match(await linesOf(t, { table: '200' }), [/only in table 200: .*ip rule add to 10\.1\.10\.2 lookup 200/])
  // The kernel has a route to the subnet of an address.
  t.strictSame(await linesOf(t, { table: 'off', address: '10.1.10.1/24' }), [])
  t.strictSame(await linesOf(t, {}), [])
})

t.test('in the subnet, and no peer has it', async t => {
  t.match(await linesOf(t, { address: '10.1.10.1/24', target: '["10.1.10.2:80", "10.1.10.3:80"]' }), [
    /^config\.yaml:2:\d+: warning: forwards\.web\.target\.1: found 10\.1\.10\.3, which is in the tunnel's subnet and in no peer's AllowedIPs/,
  ])
  t.strictSame(await linesOf(t, { address: '10.1.10.1/24', target: '"10.1.10.1:81"' }), [])
})

t.test('a prefix that is too short to be routed', async t => {
  const short = { allowed: '0.0.0.0/0' }
  t.match(await linesOf(t, short), [
    /found 10\.1\.10\.2, which only a prefix covers that is too short to be routed/,
  ])
  t.strictSame(await linesOf(t, { ...short, address: '10.1.10.1/24' }), [])
  t.strictSame(await linesOf(t, { ...short, target: '["127.0.0.1:81", "[::1]:81"]' }), [], 'loopback')
  const refused =
    /too short to be routed: until a route leads there through wg0, connections to it are refused/
  const outside = /too short to be routed: it is reached outside of the tunnel/
  const lan = { ...short, target: '"192.0.2.7:80"' }
  t.match(await linesOf(t, lan), [refused], 'nothing is routed to this peer')
  t.match(await linesOf(t, { ...short, table: 'off' }), [refused])
  t.match(await linesOf(t, { ...lan, table: 'off', address: '10.1.10.1/24' }), [refused])
  t.match(await linesOf(t, { ...lan, address: '10.1.10.1/24' }), [outside])
  t.match(await linesOf(t, { ...lan, address: '10.1.10.1, fd00:10::1/64' }), [refused], 'of the other family')
  // The cluster end: what comes out of the tunnel goes on outside of it.
  t.strictSame(await linesOf(t, { ...short, listen: 'tunnel:80', target: '"192.0.2.7:80"' }), [])
  t.strictSame(await linesOf(t, { allowed: '0.0.0.0/0, 10.1.10.2/32', target: '"192.0.2.7:80"' }), [])
})
