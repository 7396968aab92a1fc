import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { formatIssue } from '../../src/config/issue.ts'
import { loadConfig } from '../../src/config/load.ts'
import { folder, load, own, peerA, peerB, quietHost, wgConf } from '../fixtures/config.ts'

const tunnel = 'tunnel: {wgConf: wg0.conf}\n'
const web = 'forwards: {web: {listen: ":80", target: "10.1.10.2:80"}}\n'

for (const end of ['gateway', 'cluster'])
  t.test(`the known set-up, ${end} end`, async t => {
    const path = t.testdir()
    for (const name of ['config.yaml', 'wg0.conf']) {
      copyFileSync(join(import.meta.dirname, '../fixtures/known', end, name), join(path, name))
      chmodSync(join(path, name), 0o600)
    }
    const { config, issues } = await loadConfig({ configFile: join(path, 'config.yaml') }, quietHost)
    t.same(issues, [])
    t.equal(config?.file, join(path, 'config.yaml'))
    t.match(config?.tunnel, {
      interface: 'wg0',
      stateDir: '/var/run/wireguard',
      mtu: 1420,
      congestionControl: 'bbr',
      listenPort: end === 'gateway' ? 51820 : undefined,
      table: 'auto',
      probe: { port: 9, interval: 5000, timeout: 1000 },
    })
    const trusted = { address: '10.1.10.2', bits: end === 'gateway' ? 32 : 24, family: 4 }
    t.same(config?.tunnel?.peers[0]?.trusted, [trusted])
    t.equal(config?.tunnel?.peers[0]?.address, end === 'gateway' ? '10.1.10.2' : undefined)
    t.same(
      config?.forwards.map(({ listen, acceptProxy, trustedProxies, sendProxy }) => [
        listen.host,
        listen.first,
        acceptProxy,
        trustedProxies,
        sendProxy,
      ]),
      end === 'gateway'
        ? [
            ['', 80, false, [], 'v2'],
            ['', 443, false, [], 'v2'],
          ]
        : [
            ['tunnel', 80, 'any', [trusted], 'v2'],
            ['tunnel', 443, 'any', [trusted], 'v2'],
          ],
    )
    t.same(config?.forwards[0]?.timeouts, { connect: 5000, header: 5000, idle: 0, halfClosed: 300_000 })
    t.same(config?.admin, { host: '127.0.0.1', port: 9586, page: 'loopback' })
    t.same(config?.readiness, { backends: 'degraded' })
    t.equal(config?.drainDelay, 2_000)
    t.equal(config?.drainTimeout, 30_000)
    t.same(config?.log, { level: 'info', connections: true })
  })

t.test('without a tunnel it only forwards', async t => {
  const { config, lines } = await load(t, { 'config.yaml': web })
  t.same(lines, [])
  t.equal(config?.tunnel, undefined)
})

t.test('what is no mapping is that, and not short of forwards as well', async t => {
  for (const text of ['hello\n', '- a\n', 'example.com {\n  reverse_proxy x\n}\n']) {
    const { issues } = await loadConfig(
      { configFile: join(t.testdir({ 'config.yaml': text }), 'config.yaml') },
      quietHost,
    )
    t.match(issues, [{ severity: 'error', message: /^found .*; allowed: a mapping of tunnel/ }])
    t.equal(issues.length, 1)
  }
})

t.test('every key', async t => {
  const { config, lines } = await load(t, {
    'wg0.conf': wgConf.replace('10.1.10.2/32', '10.1.10.0/24'),
    'private.key': `${own.privateKey}\n`,
    'psk.key': peerB,
    'config.yaml': `
tunnel:
  wgConf: wg0.conf
  interface: wg-test
  privateKeyFile: private.key
  presharedKeyFile: psk.key
  mode: tun
  stateDir: state
  mtu: 1300
  congestionControl: kernel
  probe: { port: 7, interval: 10s, timeout: 500ms, addresses: { "${peerA}": 10.1.10.9 } }
forwards:
  web:
    listen: "[::1]:8000-8010"
    target: "[2001:db8::1]:8000-8010"
    protocol: tcp
    acceptProxy: v1
    trustedProxies: [10.0.0.0/8, "2001:db8::/32"]
    sendProxy: false
    timeouts: { connect: 250ms, header: 1s, idle: 2m, halfClosed: 1h }
link: false
admin: { listen: ":9000", page: all }
readiness: { backends: unready }
drainDelay: 500ms
drainTimeout: 0s
log: { level: debug, connections: false }
`,
  })
  t.same(lines, [])
  t.match(config?.tunnel, {
    interface: 'wg-test',
    stateDir: /\/state$/,
    mtu: 1300,
    congestionControl: 'kernel',
    probe: { port: 7, interval: 10_000, timeout: 500 },
    publicKey: own.publicKey,
  })
  t.match(config?.tunnel?.peers, [{ presharedKey: peerB, address: '10.1.10.9', trusted: [{ bits: 24 }] }])
  t.equal(config?.tunnel?.peers[0]?.trusted.length, 1)
  t.match(config?.forwards, [
    {
      name: 'web',
      listen: { host: '::1', first: 8000, last: 8010 },
      upstream: { targets: [{ host: '2001:db8::1', first: 8000, last: 8010 }], check: false },
      acceptProxy: 'v1',
      trustedProxies: [{ bits: 8 }, { bits: 32 }],
      sendProxy: false,
      timeouts: { connect: 250, header: 1000, idle: 120_000, halfClosed: 3_600_000 },
    },
  ])
  t.same(config?.admin, { host: '', port: 9000, page: 'all' })
  t.equal(config?.drainDelay, 500)
  t.equal(config?.drainTimeout, 0)
})

t.test('all errors of all files at once', async t => {
  const { config, lines } = await load(t, {
    'wg0.conf': wgConf.replace('10.1.10.1', '10.1.10.300'),
    'config.yaml': `
tunnel: { wgConf: wg0.conf, mtu: 12, privateKeyFile: nowhere.key }
forwards:
  a: { listen: ":80" }
  b: { listen: ":81", target: "x:1", acceptProxy: true }
  c: { listen: ":81", target: ":2" }
log: { level: loud }
`,
  })
  t.equal(config, undefined)
  t.match(lines, [
    /^config.yaml:2:34: error: tunnel.mtu: found 12; allowed: a whole number of bytes from 576 to 65535$/,
    /^config.yaml:2:54: error: tunnel.privateKeyFile: nowhere.key does not exist; make it/,
    /^config.yaml:4:6: error: forwards.a.target: missing; it is required, unless there are routes$/,
    /^config.yaml:5:51: error: forwards.b.acceptProxy: found without trustedProxies/,
    /^config.yaml:6:16: error: forwards.c.listen: found port 81 .*forwards.b.listen \(5:16\)/,
    /^config.yaml:6:31: error: forwards.c.target: found no host/,
    /^config.yaml:7:15: error: log.level: found "loud"; allowed: trace, debug/,
    /^wg0.conf:2:11: error: Interface.Address: found "10.1.10.300"/,
  ])
  t.equal(lines.length, 8)
})

t.test('what the keys of a forward mean together', async t => {
  const cases: [keys: string, line: RegExp | undefined][] = [
    ['listen: "tunnel:80", target: "x:80"', undefined],
    ['listen: "localhost:80", target: "x:80"', undefined],
    ['listen: "tunnel:80", target: "x:80", acceptProxy: false', undefined],
    ['listen: "tunnel:80", target: "x:80", trustedProxies: [10.0.0.0/8]', undefined],
    ['listen: ":80", target: "x:80", acceptProxy: v2, trustedProxies: [10.0.0.0/8]', undefined],
    ['listen: ":80-81", target: "x:80-81"', undefined],
    [
      'listen: "example.com:80", target: "x:80"',
      /a.listen: found the name example.com; allowed: an address, localhost/,
    ],
    ['listen: ":80", target: "x:80", acceptProxy: true', /a.acceptProxy: found without trustedProxies/],
    [
      'listen: "10.1.10.1:80", target: "x:80", acceptProxy: true',
      /a.acceptProxy: found without trustedProxies/,
    ],
    [
      'listen: ":80", target: "x:80", trustedProxies: [10.0.0.0/8]',
      /a.trustedProxies: found while acceptProxy is false \(its/,
    ],
    [
      'listen: "tunnel:80", target: "x:80", acceptProxy: false, trustedProxies: [10.0.0.0/8]',
      /a.trustedProxies: found while acceptProxy is false;/,
    ],
    [
      'listen: ":80", target: "x:80", acceptProxy: true, trustedProxies: []',
      /a.trustedProxies: found a list; allowed: a list of one/,
    ],
    ['listen: ":80", target: "x:80", proxyHeaderLimit: 52', undefined],
    ['listen: ":80", target: "x:80", sendProxy: v2, proxyHeaderLimit: 1536', undefined],
    [
      'listen: ":80", target: "x:80", proxyHeaderLimit: 51',
      /a.proxyHeaderLimit: found 51; allowed: a whole number of bytes from 52 to 1536/,
    ],
    [
      'listen: ":80", target: "x:80", proxyHeaderLimit: 1537',
      /a.proxyHeaderLimit: found 1537; allowed: a whole number of bytes from 52 to 1536/,
    ],
    [
      'listen: ":80", target: "x:80", sendProxy: v1, proxyHeaderLimit: 107',
      /a.proxyHeaderLimit: found with sendProxy: v1; allowed: with sendProxy: v2/,
    ],
    ['listen: ":80-81", target: "x:80"', /a.target: found ports 80; allowed: those of listen, 80-81/],
    ['listen: ":80", target: "x:80-81"', /a.target: found ports 80-81; allowed: those of listen, 80,/],
    ['listen: ":80-81", target: "x:90-91"', /a.target: found ports 90-91/],
  ]
  for (const [keys, line] of cases) {
    const { config, lines } = await load(t, {
      'wg0.conf': wgConf,
      'config.yaml': `${tunnel}forwards:\n  a: {${keys}}\n`,
    })
    t.match(lines, line === undefined ? [] : [line], keys)
    t.equal(lines.length, line === undefined ? 0 : 1, keys)
    t.equal(config === undefined, line !== undefined)
  }
  const { lines } = await load(t, { 'config.yaml': 'forwards: {a: {listen: "tunnel:80", target: "x:80"}}' })
  t.match(lines, [/^config.yaml:1:24: error: forwards.a.listen: found tunnel: without a tunnel; add tunnel/])
})

t.test('routes: names, their targets, and what is wrong with them', async t => {
  const of = async (keys: string) => {
    const { config, lines } = await load(t, { 'config.yaml': `forwards:\n  a: {listen: ":443", ${keys}}\n` })
    return config?.forwards[0] ?? lines
  }
  const [x, y] = ['x', 'y'].map(host => ({ host, first: 443, last: 443 }))
  const checked = { interval: 5000, rise: 2, fall: 3 }
  t.match(
    await of('target: "x:443", routes: {WWW.Example.com.: "y:443", "*.example.com": ["x:443", "y:443"]}'),
    {
      upstream: { targets: [x] },
      routes: [
        { name: 'www.example.com', upstream: { targets: [y], balance: 'first', check: 'passive' } },
        { name: '*.example.com', upstream: { targets: [x, y], balance: 'first', check: checked } },
      ],
    },
  )
  t.match(await of('routes: {a.example: "y:443"}, balance: leastconn, check: false'), {
    upstream: { targets: [] },
    routes: [{ name: 'a.example', upstream: { targets: [y], balance: 'leastconn', check: false } }],
  })
  for (const [keys, line] of [
    [
      'target: "x:443", routes: {}',
      /2:48: error: forwards.a.routes: found a mapping; allowed: a mapping of one or more/,
    ],
    [
      'routes: ["a.example"]',
      /forwards.a.routes: found a list; allowed: a mapping of one or more server names/,
    ],
    [
      'routes: {"": "y:443"}',
      /found nothing; allowed: a server name such as www.example.com, or \*.example.com/,
    ],
    ['routes: {"a.*.example": "y:443"}', /found "a.\*.example"; allowed: a server name such as/],
    ['routes: {"*": "y:443"}', /found "\*"; allowed/],
    ['routes: {".example.com": "y:443"}', /found ".example.com"; allowed/],
    ['routes: {192.0.2.1: "y:443"}', /found "192.0.2.1"; allowed/],
    ['routes: {"www.example.com:443": "y:443"}', /found "www.example.com:443"; allowed/],
    ['routes: {"*.Bücher.example": "y:443"}', /names below it, in ASCII: \*.xn--bcher-kva.example$/],
    [
      'routes: {a.example: 443}',
      /2:43: error: forwards.a.routes.a.example: found 443; allowed: host:port or/,
    ],
    ['routes: {a.example: []}', /forwards.a.routes.a.example: found a list; allowed: host:port or/],
    ['routes: {a.example: ":443"}', /forwards.a.routes.a.example: found no host; allowed/],
    [
      'routes: {a.example: "y:443", A.Example.: "x:443"}',
      /2:64: error: forwards.a.routes.A.Example.: found the name of a.example \(2:43\) again; allowed: each name once/,
    ],
    [
      'routes: {a.example: "127.0.0.1:443"}',
      /a.example: found 127.0.0.1:443, where this forward itself listens/,
    ],
    [
      'routes: {a.example: ["y:443", "localhost:443"]}',
      /a.example.1: found localhost:443, where this forward itself/,
    ],
    ['routes: {a.example: ["y:443", "y:443"]}', /a.example.1: found y:443 twice/],
    ['routes: {a.example: "y:443-444"}', /a.example: found ports 443-444; allowed: those of listen, 443,/],
  ] as const) {
    const lines = await of(keys)
    t.match(lines, [line], keys)
    t.equal((lines as string[]).length, 1, keys)
  }
})

t.test('targets: one or a list, how one is chosen, how they are checked', async t => {
  const of = async (keys: string) => {
    const { config, lines } = await load(t, { 'config.yaml': `forwards:\n  a: {${keys}}\n` })
    return config?.forwards[0]?.upstream ?? lines
  }
  const [x, y] = ['x', 'y'].map(host => ({ host, first: 80, last: 80 }))
  const checked = { interval: 5000, rise: 2, fall: 3 }
  t.same(await of('listen: ":80", target: "x:80"'), { targets: [x], balance: 'first', check: 'passive' })
  t.same(await of('listen: ":80", target: ["x:80"], check: {}'), {
    targets: [x],
    balance: 'first',
    check: checked,
  })
  t.same(await of('listen: ":80", target: ["x:80", "y:80"]'), {
    targets: [x, y],
    balance: 'first',
    check: checked,
  })
  const keys = 'balance: leastconn, check: {interval: 1s, rise: 1, fall: 9}'
  t.same(await of(`listen: ":80", target: ["x:80", "y:80"], ${keys}`), {
    targets: [x, y],
    balance: 'leastconn',
    check: { interval: 1000, rise: 1, fall: 9 },
  })
  t.match(await of('listen: ":80", target: ["x:80", "y:80"], check: false'), { check: false })
  t.match(await of('listen: ":80-81", target: ["x:80-81", "y:80-81"]'), { check: false }, 'never for a range')
  for (const [keys, message] of [
    ['target: []', /2:30: error: forwards\.a\.target: found a list; allowed: host:port/],
    ['target: ["x:80", "y"]', /2:39: error: forwards\.a\.target\.1: found "y"; allowed: host:port/],
    ['target: ["x:80", ":81"]', /forwards\.a\.target\.1: found no host/],
    ['target: ["x:80", "x:81", "x:80"]', /forwards\.a\.target\.2: found x:80 twice/],
    ['target: ["x:80", "127.0.0.1:80"]', /forwards\.a\.target\.1: found 127\.0\.0\.1:80, where this/],
    ['target: ["x:80", "y:80-81"]', /forwards\.a\.target\.1: found ports 80-81; allowed: those of listen/],
    ['target: "x:80", balance: random', /balance: found "random"; allowed: first, roundrobin, leastconn/],
    ['target: "x:80", check: true', /check: found true; allowed: false or a mapping of interval, rise, fall/],
    ['target: "x:80", check: {rise: 0}', /check\.rise: found 0; allowed: a whole number from 1/],
    ['target: "x:80", check: {port: 1}', /check\.port: unknown key; allowed: interval, rise, fall/],
  ] as const)
    t.match(await of(`listen: ":80", ${keys}`), [message], keys)
  t.match(await of('listen: ":80-81", target: "x:80-81", check: {}'), [
    /forwards\.a\.check: found with the ports 80-81; allowed: false/,
  ])
})

t.test('listeners that collide are named with both places', async t => {
  const cases: [a: string, b: string, collide: boolean][] = [
    [':80', ':80', true],
    [':80', 'tunnel:80', true],
    [':80', '192.0.2.1:80', true],
    ['[::]:80', '192.0.2.1:80', true],
    ['0.0.0.0:80', 'tunnel:80', true],
    ['0.0.0.0:80', 'localhost:80', true],
    ['tunnel:80', '10.1.10.1:80', true],
    ['127.0.0.1:80', 'localhost:80', true],
    ['192.0.2.1:80', '[::ffff:192.0.2.1]:80', true],
    [':80-90', '192.0.2.1:90', true],
    ['tunnel:80', '10.1.10.2:80', false],
    ['0.0.0.0:80', '[::1]:80', false],
    ['192.0.2.1:80', '192.0.2.2:80', false],
    [':80', ':81', false],
    [':80-90', ':91', false],
  ]
  for (const [a, b, collide] of cases)
    for (const [first, second] of [
      [a, b],
      [b, a],
    ]) {
      const ports = (listen: string) => /\d+(-\d+)?$/.exec(listen)![0]
      const { lines } = await load(t, {
        'wg0.conf': wgConf,
        'config.yaml': `${tunnel}forwards:\n  a: {listen: "${first}", target: "x:${ports(first!)}", acceptProxy: false}\n  b: {listen: "${second}", target: "x:${ports(second!)}", acceptProxy: false}\n`,
      })
      t.match(
        lines,
        collide
          ? [
              /^config.yaml:4:15: error: forwards.b.listen: found port \d+ at an address that forwards.a.listen \(3:15\)/,
            ]
          : [],
        `${first} ${second}`,
      )
      t.equal(lines.length, collide ? 1 : 0, `${first} ${second}`)
    }
  const admin = { 'config.yaml': 'forwards: {a: {listen: ":9586", target: "x:1"}}\n' }
  t.match((await load(t, admin)).lines, [
    /^config.yaml:1:1: error: admin.listen: found port 9586 .*forwards.a.listen \(1:24\)/,
  ])
  t.same((await load(t, admin, { admin: ':9000' })).lines, [])
  t.match((await load(t, { 'config.yaml': web }, { admin: '[::1]:80' })).lines, [
    /^--admin: error: found port 80/,
  ])
})

t.test('a forward whose target is its own listener would go round for ever', async t => {
  const wg = `${wgConf.replace('Address = 10.1.10.1', 'Address = 10.1.10.1/24, fd00::1/64')}AllowedIPs = fd00::2/128\n`
  const linesOf = async (listen: string, target: string, more = '') => {
    const config = `${tunnel}forwards:\n  web: {listen: "${listen}", target: "${target}"${more}}\n`
    return (await load(t, { 'config.yaml': config, 'wg0.conf': wg })).lines
  }
  const message =
    'where this forward itself listens: each connection would come in again for ever; name where the service is, or move listen to another port or address'
  t.strictSame(await linesOf(':80', '127.0.0.1:80'), [
    `config.yaml:3:32: error: forwards.web.target: found 127.0.0.1:80, ${message}`,
  ])
  t.strictSame(await linesOf(':80-82', '[::ffff:127.9.9.9]:80-82'), [
    `config.yaml:3:35: error: forwards.web.target: found 127.9.9.9:80-82, ${message}`,
  ])
  for (const [listen, targets] of Object.entries({
    ':80': '127.0.0.1 127.8.8.8 [::1] [::] 0.0.0.0 localhost 10.1.10.1 [fd00::1] [FD00:0::1]',
    '[::]:80': '127.0.0.1 [::1] 10.1.10.1 [fd00::1]',
    '0.0.0.0:80': '127.0.0.1 127.8.8.8 0.0.0.0 localhost 10.1.10.1',
    'tunnel:80': '10.1.10.1 [fd00::1] [::ffff:10.1.10.1]',
    '127.0.0.1:80': '127.0.0.1 0.0.0.0 localhost',
    '[::1]:80': '[::1] [::] localhost',
    'localhost:80': '127.0.0.1 [::1] localhost 0.0.0.0',
    '10.1.10.1:80': '10.1.10.1',
    '203.0.113.1:80': '203.0.113.1',
  }))
    for (const target of targets.split(' '))
      t.match(await linesOf(listen, `${target}:80`), [
        /^config\.yaml:3:\d+: error: forwards\.web\.target: found .*, where/,
      ])
  for (const [listen, targets] of Object.entries({
    ':80': '127.0.0.1:81 10.1.10.2:80 203.0.113.1:80 [fd00::2]:80 [2001:db8::1]:80 gateway.example:80',
    '0.0.0.0:80': '[::1]:80 [fd00::1]:80',
    'tunnel:80': '127.0.0.1:80 0.0.0.0:80 10.1.10.2:80 tunnel.example:80 10.1.10.1:81',
    '127.0.0.1:80': '127.0.0.2:80 10.1.10.1:80 [::1]:80 [::]:80',
    '203.0.113.1:80': '127.0.0.1:80',
    ':80-82': '10.1.10.2:80-82',
  }))
    for (const target of targets.split(' '))
      t.strictSame(await linesOf(listen, target), [], `${listen} to ${target}`)
  t.match(await linesOf(':80-82', '127.0.0.1:81'), [/found ports 81; allowed/], 'one finding is enough')

  const two = (first: string, second: string) => `${tunnel}forwards: {a: ${first}, b: ${second}}\n`
  const hairpin = two(
    '{listen: ":80", target: "10.1.10.1:8080", sendProxy: v2}',
    '{listen: "tunnel:8080", target: "10.1.10.2:80"}',
  )
  t.strictSame(
    (await load(t, { 'config.yaml': hairpin, 'wg0.conf': wg })).lines,
    [],
    "another forward's listener",
  )
  const alone = 'forwards: {web: {listen: ":80", target: "127.0.0.1:80"}}\n'
  t.match((await load(t, { 'config.yaml': alone })).lines, [/where this forward itself listens/])
})

t.test('flags win over the file', async t => {
  const files = { 'other.conf': wgConf, 'config.yaml': `${web}admin: {listen: "127.0.0.1:1", page: all}` }
  const wg = join(folder(t, files), 'other.conf')
  const { config, lines } = await load(t, files, { wgConf: wg, admin: ':9586' })
  t.same(lines, [])
  t.equal(config?.tunnel?.interface, 'wg0', 'a tunnel with the defaults')
  t.same(config?.admin, { host: '', port: 9586, page: 'all' })
  t.same(
    (await load(t, { ...files, 'config.yaml': `tunnel: {interface: wg1}\n${web}` }, { wgConf: wg })).lines,
    [],
  )
  t.same(
    (await load(t, { ...files, 'config.yaml': `tunnel: {wgConf: no.conf}\n${web}` }, { wgConf: wg })).lines,
    [],
  )
  t.match((await load(t, files, { wgConf: '/nowhere/wg0.conf' })).lines, [
    /^--wg-conf: error: \/nowhere\/wg0.conf does not exist/,
  ])
  for (const flag of ['', '9586', 'example.com:1', ':1-2', 'tunnel:1'])
    t.match(
      (await load(t, files, { admin: flag })).lines,
      [/^--admin: error: found .*; allowed: ADDRESS:PORT/],
      flag,
    )
  t.match((await load(t, { 'config.yaml': `${web}admin: {listen: ":1-2"}` })).lines, [
    /^config.yaml:2:17: error: admin.listen: found ":1-2"; allowed: ADDRESS:PORT/,
  ])
  t.match(
    (await load(t, { ...files, 'config.yaml': 'a: [' }, { wgConf: `${wg}x` })).lines.at(-1),
    /^--wg-conf/,
  )
})

t.test('nothing to do', async t => {
  const files = { 'wg0.conf': wgConf, 'config.yaml': tunnel }
  const only = await load(t, files)
  t.ok(only.config)
  t.match(only.lines, [
    /^config.yaml:1:1: warning: forwards: found none; the end has a tunnel and forwards nothing/,
  ])
  t.match((await load(t, { 'config.yaml': 'forwards: {}' })).lines, [
    /^config.yaml:1:11: error: forwards: found none, and no/,
  ])
  t.match((await load(t, { 'config.yaml': `tunnel: {}\n${web}` })).lines, [
    /^config.yaml:1:9: error: tunnel.wgConf: missing/,
  ])
  t.match((await load(t, { 'config.yaml': `tunnel:\n${web}` })).lines, [
    /^config.yaml:1:8: error: tunnel: found nothing; allowed/,
  ])
})

t.test('files that are not to be had', async t => {
  const path = t.testdir({ dir: {} })
  const line = async (file: string) => {
    const { config, issues } = await loadConfig({ configFile: join(path, file) }, quietHost)
    t.equal(config, undefined)
    return issues.map(formatIssue).join()
  }
  t.match(await line('config.yaml'), /config.yaml: error: .*config.yaml does not exist; make it/)
  t.match(await line('dir'), /is an empty folder, .*make the file there where it is mounted from/)
  t.match(await line('.'), /is a folder; name a file in it/)
  t.match(await line('dir\0'), /cannot be read/)
  t.match((await loadConfig({ configFile: '/dev/zero' }, quietHost)).issues, [
    { message: /is a device, no file/ },
  ])
  const { lines } = await load(t, { 'config.yaml': tunnel + web })
  t.match(lines, [/^config.yaml:1:18: error: tunnel.wgConf: wg0.conf does not exist/])
})

t.test(
  'uid 0 without CAP_DAC_OVERRIDE is told to own its files',
  { skip: process.getuid?.() !== 0 && 'needs root' },
  async t => {
    const path = folder(t, { 'config.yaml': tunnel + web, 'wg0.conf': wgConf })
    execFileSync('chown', ['1000', join(path, 'wg0.conf')])
    const script = `
    import { loadConfig } from ${JSON.stringify(join(import.meta.dirname, '../../src/config/load.ts'))}
    const { issues } = await loadConfig({ configFile: ${JSON.stringify(join(path, 'config.yaml'))} })
    console.log(JSON.stringify(issues.map(issue => issue.message)))`
    const drop = (...rights: string[]) =>
      // Without tap's hook, which would write to a folder of root's.
      execFileSync(
        'env',
        ['-i', 'setpriv', ...rights, process.execPath, '--input-type=module', '-e', script],
        {
          encoding: 'utf8',
        },
      )
    const bounded = [
      '--inh-caps=-dac_override,-dac_read_search',
      '--bounding-set=-dac_override,-dac_read_search',
    ]
    t.match(drop(...bounded), /uid 0 reads only root's files; run chown 0:0 .*wg0.conf/)
    t.match(
      drop('--reuid=1001', '--clear-groups'),
      /may not be read by uid 1001; run chown 1001 .*config.yaml/,
    )
  },
)

t.test('files that everyone may read are a warning, of the file behind the link', async t => {
  const path = folder(t, {
    'config.yaml': `tunnel: {wgConf: link.conf, privateKeyFile: key, presharedKeyFile: psk}\n${web}`,
    'wg0.conf': wgConf,
    key: own.privateKey,
    psk: peerB,
  })
  symlinkSync('wg0.conf', join(path, 'link.conf'))
  const warnings = async () => {
    const { config, issues } = await loadConfig({ configFile: join(path, 'config.yaml') }, quietHost)
    t.ok(config)
    return issues.map(issue => `${issue.severity} ${issue.key} ${issue.message.replaceAll(`${path}/`, '')}`)
  }
  t.same(await warnings(), [])
  for (const name of ['wg0.conf', 'key', 'psk']) chmodSync(join(path, name), 0o644)
  t.match(await warnings(), [
    /^warning tunnel.privateKeyFile .* chmod 600 key/,
    /^warning tunnel.presharedKeyFile .* chmod 600 psk/,
    /^warning undefined found a file with a key in it .* run chmod 600 link.conf/,
  ])
})

t.test('a wg-quick file without a key in it may be read by everyone', async t => {
  const path = folder(t, {
    'config.yaml': `tunnel: {wgConf: wg0.conf, privateKeyFile: key}\n${web}`,
    'wg0.conf': wgConf.replace(/PrivateKey.*\n/, ''),
    key: own.privateKey,
  })
  chmodSync(join(path, 'wg0.conf'), 0o644)
  const { config, issues } = await loadConfig({ configFile: join(path, 'config.yaml') }, quietHost)
  t.same(issues, [])
  t.equal(config?.tunnel?.publicKey, own.publicKey)
})

t.test('keys that are missing, wrong, or of the wrong end', async t => {
  const lines = async (section: string, conf = wgConf, files: Record<string, string> = {}) =>
    (
      await load(t, {
        'config.yaml': `tunnel: {wgConf: wg0.conf${section}}\n${web}`,
        'wg0.conf': conf,
        ...files,
      })
    ).lines
  t.match(await lines('', wgConf.replace(/PrivateKey.*\n/, '')), [
    /^wg0.conf: error: Interface.PrivateKey: missing/,
  ])
  const broken = await lines('', wgConf.replace(own.privateKey, own.privateKey.slice(4)))
  t.match(broken, [/^wg0.conf:3:14: error: Interface.PrivateKey: found something that is no key/])
  t.equal(broken.length, 1, 'said once')
  t.match(await lines('', wgConf.replace(peerA, own.publicKey)), [
    /^wg0.conf:5:13: error: Peer.PublicKey: found this end's own/,
  ])
  const secret = own.privateKey.slice(4)
  const inFile = await lines(', privateKeyFile: key', wgConf, { key: secret })
  t.match(inFile, [
    /^config.yaml:1:44: error: tunnel.privateKeyFile: key holds something that is no key; allowed: one line/,
  ])
  t.notOk(inFile.join().includes(secret.slice(0, 8)))
  const pasted = await lines(`, privateKeyFile: ${own.privateKey}`)
  t.match(pasted, [/tunnel.privateKeyFile: found a key; allowed: the path/])
  t.notOk(pasted.join().includes(own.privateKey.slice(0, 8)))
  const two = `${wgConf}[Peer]\nPublicKey = ${peerB}\nAllowedIPs = 10.1.10.3\n`
  t.match(await lines(', presharedKeyFile: psk', two, { psk: peerB }), [
    /tunnel.presharedKeyFile: found 2 peers; allowed with exactly one/,
  ])
})
