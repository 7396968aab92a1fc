import fc from 'fast-check'
import t from 'tap'
import { formatIssue } from '../../src/config/issue.ts'
import { parseWgConf } from '../../src/config/wg-conf.ts'
import { own, peerA, peerB } from '../fixtures/config.ts'

function read(text: string) {
  const { conf, issues } = parseWgConf('wg0.conf', text)
  return { conf, lines: issues.map(formatIssue) }
}

/** The lines of a complete file with these in [Interface] and those in its [Peer]. */
function withLines(inInterface: string, inPeer = '') {
  return read(
    `[Interface]\nAddress = 10.1.10.1\n${inInterface}\n[Peer]\nPublicKey = ${peerA}\nAllowedIPs = 10.1.10.2\n${inPeer}\n`,
  )
}

t.test('every key of a file', async t => {
  const { conf, lines } = read(
    [
      '# a comment',
      '[Interface] # and another',
      'Address = 10.1.10.1/24, fd00::1/64 # two',
      'Address=10.1.11.1',
      `PrivateKey = ${own.privateKey}`,
      'ListenPort = 51820',
      'MTU = 1400',
      'FwMark = 0xca6c',
      'Table = 51820',
      '',
      '[Peer]',
      `PublicKey = ${peerA}`,
      `PresharedKey = ${peerB}`,
      'AllowedIPs = 10.1.10.2/24,fd00::2',
      'AllowedIPs = 10.1.12.0/24',
      'Endpoint = [2001:db8::1]:51820',
      'PersistentKeepalive = 25',
    ].join('\n'),
  )
  t.same(lines, [])
  t.same(conf, {
    addresses: [
      { value: { address: '10.1.10.1', bits: 24, family: 4 }, line: 3, column: 11 },
      { value: { address: 'fd00::1', bits: 64, family: 6 }, line: 3, column: 25 },
      { value: { address: '10.1.11.1', bits: 32, family: 4 }, line: 4, column: 9 },
    ],
    privateKey: own.privateKey,
    namesPrivateKey: true,
    listenPort: 51820,
    mtu: { value: 1400, line: 7, column: 7 },
    fwMark: 0xca6c,
    table: 51820,
    peers: [
      {
        publicKey: { value: peerA, line: 12, column: 13 },
        presharedKey: peerB,
        allowedIps: [
          { value: { address: '10.1.10.2', bits: 24, family: 4 }, line: 14, column: 14 },
          { value: { address: 'fd00::2', bits: 128, family: 6 }, line: 14, column: 27 },
          { value: { address: '10.1.12.0', bits: 24, family: 4 }, line: 15, column: 14 },
        ],
        endpoint: { value: { host: '2001:db8::1', port: 51820 }, line: 16, column: 12 },
        keepalive: 25,
      },
    ],
  })
})

t.test('case, CRLF, BOM, tabs and no spaces at all are the same file', async t => {
  const text = `[Interface]\nAddress=10.1.10.1\nPrivateKey=${own.privateKey}\n[Peer]\nPublicKey=${peerA}\nAllowedIPs=10.1.10.2\nEndpoint=example.com:1\n`
  const plain = read(text)
  t.same(plain.lines, [])
  t.same(read(text.replaceAll('\n', '\r\n')), plain)
  t.same(read(`\uFEFF${text}`), plain)
  const names = (change: (name: string) => string) =>
    text.replace(/^(\[?)([A-Za-z]+)/gm, (_, bracket: string, name: string) => bracket + change(name))
  t.same(read(names(name => name.toLowerCase())), plain)
  t.same(read(names(name => name.toUpperCase())), plain)
  const values = ({ conf }: ReturnType<typeof read>) => JSON.stringify(conf).replace(/"column":\d+/g, '')
  t.same(values(read(text.replace(/^(\w+)=(.*)$/gm, ' $1 \t=\t $2 \t'))), values(plain))
})

t.test('words that stand for a value', async t => {
  t.equal(withLines('Table = off').conf.table, 'off')
  t.equal(withLines('Table = 0x10').conf.table, 16)
  t.equal(withLines('Table = main').conf.table, 254)
  t.equal(withLines('Table = 0').conf.table, 254)
  t.equal(withLines('Table =').conf.table, 'auto')
  t.equal(withLines('').conf.table, 'auto')
  t.equal(withLines('FwMark = off').conf.fwMark, undefined)
  t.equal(withLines('FwMark = 0').conf.fwMark, undefined)
  t.equal(withLines('FwMark = 51820').conf.fwMark, 51820)
  t.equal(withLines('ListenPort = 0').conf.listenPort, undefined)
  t.equal(withLines('', 'PersistentKeepalive = off').conf.peers[0]?.keepalive, 0)
  t.equal(withLines('', 'PersistentKeepalive = 65535').conf.peers[0]?.keepalive, 65535)
  t.equal(withLines('', '').conf.peers[0]?.keepalive, 0)
  t.equal(withLines('MTU = 1300\nMTU = 1400').conf.mtu?.value, 1400, 'the last one counts')
  t.equal(withLines('MTU = 1300\nMTU =').conf.mtu, undefined, 'and may be none')
})

t.test('every item of a list has its place', async t => {
  const { conf, lines } = withLines(
    'Address = ,10.1.11.1/255.255.255.0\t fd00::1/64, ',
    'Allowed IPs = 10.1.12.0 / 24 ,10.1.13.1',
  )
  t.same(lines, [])
  t.same(
    conf.addresses.slice(1).map(({ value, line, column }) => [value.address, value.bits, line, column]),
    [
      ['10.1.11.1', 24, 3, 12],
      ['fd00::1', 64, 3, 37],
    ],
  )
  t.same(
    conf.peers[0]?.allowedIps
      .slice(1)
      .map(({ value, line, column }) => [value.address, value.bits, line, column]),
    [
      ['10.1.12.0', 24, 7, 15],
      ['10.1.13.1', 32, 7, 31],
    ],
  )
})

t.test('an endpoint is what is before its last colon', async t => {
  const at = (text: string) => withLines('', `Endpoint = ${text}`).conf.peers[0]?.endpoint?.value
  t.same(at('2001:db8::1:51820'), { host: '2001:db8::1', port: 51820 })
  t.same(at('[192.0.2.1] : 51820'), { host: '192.0.2.1', port: 51820 })
  t.same(at('[gateway.example.com]:51820'), { host: 'gateway.example.com', port: 51820 })
  t.same(at('gateway.example.com.:051820'), { host: 'gateway.example.com.', port: 51820 })
  t.same(at('fe80::1%eth0:51820'), { host: 'fe80::1%eth0', port: 51820 })
})

t.test('what may be meant otherwise is taken, with a warning that says how', async t => {
  const cases: [inInterface: string, inPeer: string, line: RegExp][] = [
    ['Address = 10.2/16', '', /^wg0.conf:3:11: warning: Interface.Address: .*read as 10.2.0.0\/16; write/],
    ['Address = 010.2.0.1', '', /^wg0.conf:3:11: warning: Interface.Address: .*read as 8.2.0.1\/32; write/],
    ['Address = 10.2.0.1/024', '', /^wg0.conf:3:11: warning: Interface.Address: .*read as 10.2.0.1\/20; /],
    ['MTU = 02600', '', /^wg0.conf:3:7: warning: Interface.MTU: found "02600", which is read as 1408; write/],
    ['Table = 010', '', /^wg0.conf:3:9: warning: Interface.Table: found "010", which is read as 8; write/],
    ['', 'Endpoint = 10.1:5', /^wg0.conf:7:12: warning: Peer.Endpoint: .*read as 10.0.0.1:5; write/],
    ['', 'Endpoint = 2001:db8::1:5', /^wg0.conf:7:12: warning: Peer.Endpoint: .*read as \[2001:db8::1\]:5; /],
    [
      '',
      'AllowedIPs = 10.1.11.1/32 10.1.12.1/32',
      /^wg0.conf:7:14: warning: Peer.AllowedIPs: found a list without commas, which wg refuses; write commas/,
    ],
  ]
  for (const [inInterface, inPeer, line] of cases) {
    const { lines } = withLines(inInterface, inPeer)
    t.match(lines, [line], `${inInterface}${inPeer}`)
    t.equal(lines.length, 1)
  }
  for (const plain of [
    'Address = 10.2.0.1/255.255.0.0',
    'Address = fd00::0123/64',
    'MTU = 0x578',
    'FwMark = 010',
  ])
    t.same(withLines(plain).lines, [], plain)
})

t.test('values that are none name their place and what is allowed', async t => {
  const cases: [inInterface: string, inPeer: string, line: RegExp][] = [
    [
      'Address = 10.1.10.300',
      '',
      /^wg0.conf:3:11: error: Interface.Address: found "10.1.10.300"; allowed: an IP/,
    ],
    ['Address = 10.1.10.1', '', /^wg0.conf:3:11: error: Interface.Address: found 10.1.10.1 of line 2 again/],
    [
      'ListenPort = 65536',
      '',
      /^wg0.conf:3:14: error: Interface.ListenPort: found "65536"; allowed: a number/,
    ],
    ['MTU = 575', '', /^wg0.conf:3:7: error: Interface.MTU: found "575"; allowed: .*576 to 65535/],
    ['MTU = 99999999999999999999', '', /^wg0.conf:3:7: error: Interface.MTU/],
    ['ListenPort =', '', /^wg0.conf:3:13: error: Interface.ListenPort: found nothing/],
    ['ListenPort = 0x1f90', '', /^wg0.conf:3:14: error: Interface.ListenPort: found "0x1f90"/],
    ['', 'PersistentKeepalive = 0x19', /^wg0.conf:7:23: error: Peer.PersistentKeepalive: found "0x19"/],
    ['', 'AllowedIPs =', /^wg0.conf:7:13: error: Peer.AllowedIPs: found nothing; allowed/],
    ['', 'AllowedIPs = 10.1.10.3, ', /^wg0.conf:7:24: error: Peer.AllowedIPs: found nothing; allowed/],
    ['FwMark = 0x1ffffffff', '', /^wg0.conf:3:10: error: Interface.FwMark/],
    ['FwMark = -1', '', /^wg0.conf:3:10: error: Interface.FwMark/],
    ['Table = Auto', '', /^wg0.conf:3:9: error: Interface.Table: found "Auto"; allowed: auto, off/],
    [
      '[ Interface ]\nMTU = 1400',
      '',
      /^wg0.conf:4:1: error: Interface.MTU: found below a section whose name/,
    ],
    ['S1 = 5', '', /^wg0.conf:3:1: error: Interface.S1: unknown key/],
    [
      '',
      'Endpoint = example.com',
      /^wg0.conf:7:12: error: Peer.Endpoint: found "example.com"; allowed: host:port/,
    ],
    ['', 'Endpoint = :51820', /^wg0.conf:7:12: error: Peer.Endpoint/],
    ['', 'Endpoint = 192.0.2.1:1-2', /^wg0.conf:7:12: error: Peer.Endpoint/],
    ['', 'Endpoint = 2001:db8::1', /^wg0.conf:7:12: error: Peer.Endpoint/],
    ['', 'Endpoint = [fe80::1%a/b]:1', /^wg0.conf:7:12: error: Peer.Endpoint/],
    ['', 'PersistentKeepalive = 65536', /^wg0.conf:7:23: error: Peer.PersistentKeepalive: .*off, or seconds/],
    ['', 'AllowedIPs = 10.0.0.0/33', /^wg0.conf:7:14: error: Peer.AllowedIPs: found "10.0.0.0\/33"/],
    [
      'Adress = 10.1.10.9',
      '',
      /^wg0.conf:3:1: error: Interface.Adress: unknown key; did you mean Address\? allowed: /,
    ],
    ['', 'Enpoint = a:1', /^wg0.conf:7:1: error: Peer.Enpoint: unknown key; did you mean Endpoint\?/],
    ['', 'PostUp = x', /^wg0.conf:7:1: error: Peer.PostUp: unknown key; allowed/],
    ['  what', '', /^wg0.conf:3:3: error: found a line of another kind; allowed: \[Section\]/],
    ['= 1', '', /^wg0.conf:3:1: error: found a line of another kind/],
    ['', '[Pear]\nx = y', /^wg0.conf:7:1: error: found "\[Pear\]"; unknown section; did you mean Peer\?/],
  ]
  for (const [inInterface, inPeer, line] of cases) {
    const { lines } = withLines(inInterface, inPeer)
    t.match(lines, [line], `${inInterface}${inPeer}`)
    t.equal(lines.length, 1)
  }
})

t.test('hooks are never executed, and each is named once', async t => {
  const { lines } = withLines(
    'DNS = \npreup = a\nPostUp = b\nPostUp = c\nPreDown = d\nPostDown = e\nSaveConfig = true',
  )
  t.same(
    lines.map(line =>
      /^wg0.conf:(\d+):1: warning: Interface.(\w+): \2 is never executed; /.exec(line)?.slice(1, 3),
    ),
    [
      ['3', 'DNS'],
      ['4', 'PreUp'],
      ['5', 'PostUp'],
      ['7', 'PreDown'],
      ['8', 'PostDown'],
      ['9', 'SaveConfig'],
    ],
  )
})

t.test('what is missing', async t => {
  t.match(read('').lines, [/Interface.Address: missing/, /found no \[Peer\]/])
  t.match(read('\n[Interface]\n[Peer]\n').lines, [
    /^wg0.conf:2:1: error: Interface.Address: missing; write this end's own/,
    /^wg0.conf:3:1: error: Peer.PublicKey: missing/,
  ])
  t.match(read('Address = 10.1.10.1').lines[0], /^wg0.conf:1:1: error: Address: found outside a section/)
  t.match(read('[Interface]\nAddress =\n').lines[0], /Interface.Address: missing/)
})

t.test('a peer has one section', async t => {
  const { conf, lines } = withLines('', `[Peer]\nPublicKey = ${peerA}\n[Peer]\nPublicKey = ${peerB}`)
  t.match(lines, [/^wg0.conf:8:13: error: Peer.PublicKey: found the key of line 5 again/])
  t.same(
    conf.peers.map(peer => peer.publicKey.value),
    [peerA, peerB],
  )
})

t.test('no part of a key is ever shown', async t => {
  const secret = own.privateKey.slice(0, 43)
  for (const text of [
    `PrivateKey = ${secret}`,
    `PrivateKey = ${secret}x`,
    secret,
    `${secret}=`,
    `Private Key = ${secret}`,
    `Preshared Key = ${secret}=`,
    `${secret.slice(22)}=`,
    `${secret.slice(22)}`,
    `= ${secret}`,
  ]) {
    const { lines } = withLines(text)
    t.ok(lines.length > 0, 'an error')
    t.notOk(lines.join().includes(secret.slice(0, 8)), lines.join())
  }
  t.notOk(withLines('', `PresharedKey = ${secret}`).lines.join().includes(secret.slice(0, 8)))
})

t.test('any text is read without an exception', async () => {
  const line = fc.oneof(
    fc.string(),
    fc.constantFrom(
      '[Interface]',
      '[Peer]',
      'Address = ',
      'AllowedIPs = 10.0.0.0/8',
      '[',
      ']',
      '=',
      '#',
      '\r',
      '\0',
    ),
  )
  fc.assert(
    fc.property(fc.array(line), lines => {
      const text = lines.join('\n')
      const count = text.split('\n').length
      return (
        read(text).conf.peers.length >= 0 && parseWgConf('f', text).issues.every(issue => issue.line <= count)
      )
    }),
  )
})

t.test('a large file is read at once', async t => {
  const start = process.cpuUsage()
  for (const piece of [
    '\n',
    ' ',
    '#',
    '=',
    '[',
    ']',
    ':',
    '%',
    '.',
    ',',
    '/',
    '0',
    '1,',
    '1.',
    ' \v',
    'a=',
    '::',
    '10.1.10.1/32,',
  ])
    for (const key of ['', 'Address = ', 'PrivateKey = ', 'MTU = ', 'ListenPort = ', 'x = '])
      read(`[Interface]\n${key}${piece.repeat(100_000)}x`)
  for (const piece of [' ', '%', ':', '.', '[', ',', '/0', '10.1.10.1 '])
    for (const key of ['Endpoint = ', 'Endpoint = a', 'AllowedIPs = ', 'PublicKey = '])
      read(`[Peer]\n${key}${piece.repeat(100_000)}x`)
  const { user } = process.cpuUsage(start)
  t.ok(user < 30_000_000, `${user} µs of CPU time`)
})
