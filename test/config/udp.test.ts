import t, { type Test } from 'tap'
import type { UdpForwardConfig } from '../../src/config/config.ts'
import { load, peerA, wgConf } from '../fixtures/config.ts'

const of = (t: Test, text: string, wg = wgConf) =>
  load(t, { 'wg0.conf': wg, 'config.yaml': `tunnel: { wgConf: wg0.conf }\n${text}` })

/** The one forward of these keys, or the lines that say why there is none. */
async function forwardOf(t: Test, keys: string): Promise<UdpForwardConfig | string[]> {
  const { config, lines } = await of(t, `forwards:\n  a: {protocol: udp, ${keys}}\n`)
  const [forward] = config?.forwards ?? []
  return forward?.protocol === 'udp' && lines.length === 0 ? forward : lines
}

t.test('defaults of the gateway, and of the cluster', async t => {
  t.match(await forwardOf(t, 'listen: ":53", target: "10.1.10.2:53"'), {
    protocol: 'udp',
    acceptProxy: false,
    trustedProxies: [],
    sendProxy: 'v2-every',
    proxyHeaderLimit: 107,
    upstream: { balance: 'first', check: false },
    timeouts: { udp: 60_000, proxyFirst: 10_000 },
    limits: { maxConnections: 4096, maxConnectionsPerClient: 256, newConnectionsPerSecond: 1000 },
  })
  t.match(await forwardOf(t, 'listen: "tunnel:53", target: "dns.svc:53"'), {
    acceptProxy: 'v2-every',
    trustedProxies: [{ address: '10.1.10.2', bits: 32 }],
    sendProxy: false,
  })
})

t.test('a header is sent unasked only where all targets are addresses inside the tunnel', async t => {
  for (const [target, sendProxy] of [
    ['["10.1.10.2:53", "10.1.10.2:54"]', 'v2-every'],
    ['["10.1.10.2:53", "192.0.2.7:53"]', false],
    ['["10.1.10.2:53", "dns.svc:53"]', false],
    ['"192.0.2.7:53"', false],
  ] as const)
    t.match(await forwardOf(t, `listen: ":53", target: ${target}`), { sendProxy }, target)
  const { config } = await load(t, {
    'config.yaml': 'forwards: {a: {protocol: udp, listen: ":53", target: "10.1.10.2:53"}}',
  })
  t.match(config?.forwards, [{ sendProxy: false }], 'without a tunnel')
  const subnet = wgConf
    .replace('Address = 10.1.10.1', 'Address = 10.1.10.1/24')
    .replace('10.1.10.2/32', '0.0.0.0/0')
  const { config: short } = await of(
    t,
    'forwards: {a: {protocol: udp, listen: ":53", target: "10.1.10.2:53"}}',
    subnet,
  )
  t.match(short?.forwards, [{ sendProxy: 'v2-every' }], "in the tunnel's own subnet")
})

t.test('every key', async t => {
  t.match(
    await forwardOf(
      t,
      `listen: "192.0.2.1:5000-5009", target: ["x:5000-5009", "y:5000-5009"], balance: leastconn, check: false,
       acceptProxy: v2-alone, trustedProxies: [10.0.0.0/8], sendProxy: v2-first, proxyHeaderLimit: 512, deny: [10.9.0.0/16],
       maxConnections: 9, maxConnectionsPerClient: 3, newConnectionsPerSecond: 5, timeouts: {udp: 30s, proxyFirst: 7s}`,
    ),
    {
      listen: { host: '192.0.2.1', first: 5000, last: 5009 },
      upstream: { balance: 'leastconn', check: false },
      acceptProxy: 'v2-alone',
      trustedProxies: [{ bits: 8 }],
      sendProxy: 'v2-first',
      proxyHeaderLimit: 512,
      timeouts: { udp: 30_000, proxyFirst: 7000 },
      limits: { maxConnections: 9, maxConnectionsPerClient: 3, newConnectionsPerSecond: 5 },
    },
  )
  for (const form of ['v2-every', 'v2-first', 'v2-alone', 'spp']) {
    t.match(await forwardOf(t, `listen: ":53", target: "x:53", sendProxy: ${form}`), { sendProxy: form })
    t.match(await forwardOf(t, `listen: "tunnel:53", target: "x:53", acceptProxy: ${form}`), {
      acceptProxy: form,
    })
  }
  t.match(await forwardOf(t, 'listen: "tunnel:53", target: "x:53", acceptProxy: true'), {
    acceptProxy: 'v2-every',
  })
  t.match(
    await forwardOf(
      t,
      'listen: "tunnel:53", target: "x:53", acceptProxy: v2-first, timeouts: {proxyFirst: 1s}',
    ),
    { timeouts: { proxyFirst: 1000 } },
  )
})

t.test('what has no meaning with UDP is refused, with what is allowed', async t => {
  for (const [keys, line] of [
    [
      'sendProxy: v1',
      /a\.sendProxy: found v1 with protocol: udp; allowed: false, v2-every, v2-first, v2-alone, spp$/,
    ],
    ['sendProxy: v2', /a\.sendProxy: found v2 with protocol: udp; allowed: false, v2-every/],
    ['sendProxy: v2, proxyHeaderLimit: 200', /a\.sendProxy: found v2 with/],
    ['sendProxy: true', /a\.sendProxy: found true; allowed: false, v1, v2; with protocol: udp: false, v2-/],
    [
      'acceptProxy: v1, trustedProxies: [10.0.0.0/8]',
      /a\.acceptProxy: found v1 with protocol: udp; allowed: false, true \(v2-every\), v2-every, v2-first/,
    ],
    ['acceptProxy: v2, trustedProxies: [10.0.0.0/8]', /a\.acceptProxy: found v2 with protocol: udp/],
    ['acceptProxy: spp', /a\.acceptProxy: found without trustedProxies/],
    [
      'trustedProxies: [10.0.0.0/8]',
      /a\.trustedProxies: found while acceptProxy is false \(its default here\)/,
    ],
    ['routes: {a.example: "x:53"}', /a\.routes: found with protocol: udp, .*; use target alone/],
    ['check: {}', /a\.check: found with protocol: udp; allowed: false/],
    ['timeouts: {connect: 5s}', /a\.timeouts\.connect: found with protocol: udp; allowed: udp, proxyFirst$/],
    ['timeouts: {header: 5s}', /a\.timeouts\.header: found with protocol: udp/],
    ['timeouts: {idle: none}', /a\.timeouts\.idle: found with protocol: udp/],
    ['timeouts: {halfClosed: 5s}', /a\.timeouts\.halfClosed: found with protocol: udp/],
    [
      'timeouts: {proxyFirst: 10s}, sendProxy: v2-every',
      /a\.timeouts\.proxyFirst: found without v2-first; allowed: with sendProxy or acceptProxy: v2-first/,
    ],
    ['timeouts: {udp: 0s}', /a\.timeouts\.udp: found "0s"; allowed: a duration such as/],
    [
      'proxyHeaderLimit: 107',
      /a\.proxyHeaderLimit: found with sendProxy: false; allowed: with sendProxy: v2-every, v2-first, v2-alone,/,
    ],
    ['proxyHeaderLimit: 107, sendProxy: spp', /a\.proxyHeaderLimit: found with sendProxy: spp/],
    ['protocl: udp', /a\.protocl: unknown key; did you mean protocol\?/],
  ] as const) {
    const lines = await forwardOf(t, `listen: ":53", target: "x:53", ${keys}`)
    t.match(lines, [line], keys)
    t.equal((lines as string[]).length, 1, keys)
  }
  t.match(await forwardOf(t, 'listen: ":50-51", target: "x:50-51", check: {}'), [
    /a\.check: found with protocol: udp/,
  ])
  t.match(await forwardOf(t, 'listen: ":53", target: "127.0.0.1:53"'), [
    /a\.target: found 127\.0\.0\.1:53, where this forward itself listens: each datagram would come in again/,
  ])
})

t.test('what has no meaning with TCP', async t => {
  for (const [keys, line] of [
    [
      'sendProxy: spp',
      /2:\d+: error: forwards\.a\.sendProxy: found spp, which needs protocol: udp; allowed: false, v1, v2$/,
    ],
    ['sendProxy: v2-every', /a\.sendProxy: found v2-every, which needs protocol: udp/],
    [
      'acceptProxy: v2-first, trustedProxies: [10.0.0.0/8]',
      /a\.acceptProxy: found v2-first, which needs protocol: udp; allowed: false, true \(v1 or v2\), v1, v2$/,
    ],
    [
      'timeouts: {udp: 60s}',
      /a\.timeouts\.udp: found, which needs protocol: udp; allowed: connect, header, idle, halfClosed$/,
    ],
    ['timeouts: {proxyFirst: 60s}', /a\.timeouts\.proxyFirst: found, which needs protocol: udp/],
    ['protocol: sctp', /a\.protocol: found "sctp"; allowed: tcp, udp/],
  ] as const) {
    const { config, lines } = await load(t, {
      'config.yaml': `forwards:\n  a: {listen: ":53", target: "x:53", ${keys}}\n`,
    })
    t.match(lines, [line], keys)
    t.equal(lines.length, 1, keys)
    t.equal(config, undefined)
  }
})

t.test('one port of both protocols; never twice of one', async t => {
  const forwards = (...listens: string[]) =>
    `forwards:\n${listens
      .map((listen, index) => {
        const [protocol, where] = listen.split(' ')
        const port = where!.slice(where!.indexOf(':'))
        return `  f${index}: {protocol: ${protocol}, listen: "${where}", target: "x${port}"}\n`
      })
      .join('')}`
  t.same((await of(t, forwards('tcp :53', 'udp :53', 'udp :9586-9587'))).lines, [])
  t.match((await of(t, forwards('udp :53', 'tcp :53', 'udp tunnel:50-60'))).lines, [
    /^config\.yaml:5:\d+: error: forwards\.f2\.listen: found port 53 at an address that forwards\.f0\.listen \(3:\d+\)/,
  ])
  t.match((await of(t, forwards('tcp :9586', 'tcp tunnel:9587'))).lines, [
    /admin\.listen: found port 9586/,
    /link\.port: found port 9587/,
  ])
})

t.test("WireGuard's own port", async t => {
  const wg = wgConf.replace('[Peer]', 'ListenPort = 51820\n[Peer]')
  const udp = (listen: string) => {
    const ports = listen.slice(listen.indexOf(':'))
    return of(t, `forwards: {a: {protocol: udp, listen: "${listen}", target: "x${ports}"}}`, wg)
  }
  for (const listen of [':51820', 'tunnel:51820', '192.0.2.1:51800-51900'])
    t.match((await udp(listen)).lines, [
      /^config\.yaml:2:\d+: error: forwards\.a\.listen: found UDP port 51820, which is WireGuard's own .*ListenPort/,
    ])
  t.same((await udp(':51821')).lines, [])
  t.same((await of(t, 'forwards: {a: {listen: ":51820", target: "x:51820"}}', wg)).lines, [], 'TCP is free')
})

t.test('the port that the other ends probe', async t => {
  const udp = (listen: string, tunnel = '{wgConf: wg0.conf}', protocol = 'udp') => {
    const ports = listen.slice(listen.indexOf(':'))
    const forward = `{protocol: ${protocol}, listen: "${listen}", target: "x${ports}"}`
    return load(t, { 'wg0.conf': wgConf, 'config.yaml': `tunnel: ${tunnel}\nforwards: {a: ${forward}}\n` })
  }
  for (const listen of [':9', 'tunnel:9', '10.1.10.1:5-20']) {
    const { config, lines } = await udp(listen)
    t.match(lines, [
      /^config\.yaml:2:\d+: warning: forwards\.a\.listen: found UDP port 9, which the other ends probe,/,
    ])
    t.ok(config)
  }
  t.same((await udp('192.0.2.1:9')).lines, [])
  t.same((await udp(':9', '{wgConf: wg0.conf}', 'tcp')).lines, [])
  t.same((await udp(':9', '{wgConf: wg0.conf, probe: false}')).lines, [])
  t.same((await udp(':9', '{wgConf: wg0.conf, probe: {port: 10}}')).lines, [])
})

t.test('its listeners count as others do', async t => {
  const { lines } = await of(
    t,
    `forwards:
  a: {listen: ":1-4000", target: "x:1-4000"}
  b: {protocol: udp, listen: ":101-197", target: "x:101-197"}
`,
  )
  t.match(lines, [
    /forwards\.b\.listen: found 97 listeners .*, with those before it 4097; allowed: in all 4096/,
  ])
})

t.test('a target without a route', async t => {
  const { lines } = await of(
    t,
    'forwards: {a: {protocol: udp, listen: ":53", target: "10.1.10.2:53"}}',
    `${wgConf.replace('[Peer]', 'Table = off\n[Peer]')}# ${peerA}\n`,
  )
  t.match(lines, [/found 10\.1\.10\.2, a peer's, .*: until one does, flows to it are refused; make one/])
})
