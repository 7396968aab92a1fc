import t from 'tap'
import type { EndError } from '../../src/errors.ts'
import { parsePair } from '../../src/init/pair.ts'
import { flags } from './made.ts'

/** The flags with one of them replaced. */
function withFlag(flag: string, value: string): string[] {
  const args = flags('pair')
  const at = args.indexOf(`--${flag}`)
  return at < 0 ? [...args, `--${flag}`, value] : args.with(at + 1, value)
}

t.test('defaults', async t => {
  t.same(parsePair(flags('pair')), {
    folder: 'pair',
    endpoint: { host: 'gateway.example.com', port: 51820 },
    forwards: [
      {
        name: 'https',
        protocol: 'tcp',
        listen: { first: 443, last: 443 },
        target: { first: 443, last: 443 },
      },
    ],
    target: 'traefik.dmz.svc',
    gateway: ['10.1.10.1'],
    cluster: [['10.1.10.2']],
    inline: false,
  })
  t.same(parsePair(withFlag('replicas', '1')), parsePair(flags('pair')))
})

t.test('endpoints', async t => {
  for (const [text, host, port] of [
    ['gw.example.com:1', 'gw.example.com', 1],
    ['203.0.113.1', '203.0.113.1', 51820],
    ['203.0.113.1:65535', '203.0.113.1', 65535],
    ['[2001:DB8::1]', '2001:db8::1', 51820],
    ['[2001:db8::1]:443', '2001:db8::1', 443],
  ] as const)
    t.same(parsePair(withFlag('endpoint', text)).endpoint, { host, port }, text)
})

t.test('forwards', async t => {
  for (const [text, name, listen, target, protocol = 'tcp'] of [
    ['80', 'http', [80, 80], [80, 80]],
    ['80:8080', 'http', [80, 80], [8080, 8080]],
    ['65535:1', 'tcp-65535', [65535, 65535], [1, 1]],
    ['8000-8010', 'tcp-8000-8010', [8000, 8010], [8000, 8010]],
    ['8000-8010:8000-8010', 'tcp-8000-8010', [8000, 8010], [8000, 8010]],
    ['53/udp', 'udp-53', [53, 53], [53, 53], 'udp'],
    ['53:5353/UDP', 'udp-53', [53, 53], [5353, 5353], 'udp'],
    ['443/udp', 'udp-443', [443, 443], [443, 443], 'udp'],
    ['9586-9587/udp', 'udp-9586-9587', [9586, 9587], [9586, 9587], 'udp'],
  ] as const) {
    const [[forward]] = [parsePair(withFlag('forward', text)).forwards]
    t.same(forward, {
      name,
      protocol,
      listen: { first: listen[0], last: listen[1] },
      target: { first: target[0], last: target[1] },
    })
  }
  const { forwards } = parsePair(
    flags('pair', '--forward', '80', '--forward', '444-450', '--forward', '443/udp'),
  )
  t.same(
    forwards.map(({ name }) => name),
    ['https', 'http', 'tcp-444-450', 'udp-443'],
  )
})

t.test('targets', async t => {
  for (const [text, host] of [
    ['[2001:db8::2]', '2001:db8::2'],
    ['2001:db8::2', '2001:db8::2'],
    ['192.0.2.1', '192.0.2.1'],
    // A name that is whole ends with a dot: no search list, and no wildcard in it, comes before it.
    ['traefik.dmz.svc.cluster.local', 'traefik.dmz.svc.cluster.local.'],
    ['traefik.dmz.svc.cluster.local.', 'traefik.dmz.svc.cluster.local.'],
    ['web.example.com', 'web.example.com.'],
    // These are whole along the search list only.
    ['traefik', 'traefik'],
    ['traefik.dmz', 'traefik.dmz'],
    ['traefik.dmz.svc', 'traefik.dmz.svc'],
  ] as const)
    t.equal(parsePair(withFlag('target', text)).target, host)
})

t.test('subnets', async t => {
  for (const [text, gateway, cluster] of [
    ['10.9.0.0/16', ['10.9.0.1'], ['10.9.0.2']],
    ['10.9.8.7/24', ['10.9.8.1'], ['10.9.8.2']],
    ['192.168.7.4/30', ['192.168.7.5'], ['192.168.7.6']],
    ['fd00:10::/64', ['fd00:10::1'], ['fd00:10::2']],
    ['10.9.0.0/24,fd00:10::/64', ['10.9.0.1', 'fd00:10::1'], ['10.9.0.2', 'fd00:10::2']],
    ['fd00:10::/64,10.9.0.0/24', ['fd00:10::1', '10.9.0.1'], ['fd00:10::2', '10.9.0.2']],
  ] as const) {
    const pair = parsePair(withFlag('subnet', text))
    t.same([pair.gateway, pair.cluster], [gateway, [cluster]], text)
  }
})

t.test('replicas: an address of each subnet for each', async t => {
  for (const [subnet, replicas, clusters] of [
    ['10.1.10.0/24', '2', [['10.1.10.2'], ['10.1.10.3']]],
    ['192.168.7.8/29', '5', ['10', '11', '12', '13', '14'].map(host => [`192.168.7.${host}`])],
    ['fd00:10::/126', '2', [['fd00:10::2'], ['fd00:10::3']]],
    ['10.9.0.0/24,fd00:10::/64', '2', ['2', '3'].map(host => [`10.9.0.${host}`, `fd00:10::${host}`])],
  ] as const)
    t.same(parsePair([...withFlag('subnet', subnet), '--replicas', replicas]).cluster, clusters, subnet)
  const most = parsePair([...withFlag('subnet', '10.9.0.254/16'), '--replicas', '99']).cluster
  t.equal(new Set(most.flat()).size, 99)
  t.equal(most.at(-1)?.[0], '10.9.0.100')
})

t.test('not more replicas than a subnet has room for', async t => {
  for (const [subnet, replicas, allowed] of [
    ['10.1.10.0/24', '100', '1 to 99'],
    ['192.168.7.8/29', '6', '1 to 5, for which --subnet 192.168.7.8/29 has room'],
    ['192.168.7.4/30', '2', '1, for which --subnet 192.168.7.4/30 has room'],
    ['fd00:10::/126', '3', '1 to 2, for which --subnet fd00:10::/126 has room'],
    ['10.9.0.0/24,fd00:10::/126', '3', '1 to 2, for which --subnet 10.9.0.0/24,fd00:10::/126 has room'],
  ] as const)
    t.throws(() => parsePair([...withFlag('subnet', subnet), '--replicas', replicas]), {
      code: 'USAGE',
      message: `--replicas: found "${replicas}"; allowed: ${allowed}`,
    })
})

t.test('a wrong flag is a usage error that says what was found and what is allowed', async t => {
  const wrong: Record<string, string[]> = {
    endpoint: [
      '',
      ':51820',
      'a b',
      'gw:0',
      'gw:65536',
      'gw:1-2',
      'gw:',
      '2001:db8::1',
      '[gw]',
      '-x.',
      'gw:51820:1',
      '300.1.1.1',
      '10.1.10.9',
    ],
    forward: [
      '',
      '0',
      '65536',
      'x',
      '80:',
      ':80',
      '80:0',
      '80:1:2',
      '080',
      '-',
      '9-8',
      '1-2:3-4',
      '1-2:1',
      '80/tcp',
      '443',
      '443-444',
      '442-443',
      '9586',
      '9000-9999',
      '9587:80',
      '/udp',
      '53/udp/udp',
      '53/udp:53',
      '53/sctp',
      '0/udp',
      '51820/udp',
      '51000-52000/udp',
      '1-2:3-4/udp',
    ],
    target: ['', '10.1.10.2', 'a:80', '[a]', 'a b', 'a"b', '256.1.1.1', '[::1]:80'],
    subnet: [
      '',
      '10.1.10.0',
      '10.1.10.0/31',
      '10.0.0.0/7',
      '127.0.0.0/24',
      '224.0.0.0/24',
      'fd00::/127',
      'fe80::/64',
      '::ffff:10.1.10.0/120',
      '10.1.10.0/24/8',
      '10.1.10.0/24,',
      '10.1.10.0/24,10.2.0.0/24',
      '10.1.10.0/24, fd00::/64',
      'fd00::/64,fd01::/64,10.1.10.0/24',
      'x',
    ],
    replicas: ['', '0', '-1', '1.5', 'two', '02', '100', '1000'],
  }
  for (const [flag, values] of Object.entries(wrong)) {
    for (const value of values) {
      const args = flag === 'forward' ? flags('pair', `--forward=${value}`) : withFlag(flag, value)
      // A value that begins with a dash needs the equals sign.
      const spelled =
        flag !== 'forward' && value.startsWith('-') ? [...flags('pair'), `--${flag}=${value}`] : args
      t.throws(
        () => parsePair(spelled),
        { code: 'USAGE', exitCode: 2, message: new RegExp(`^--${flag}: found .*; allowed: `) },
        `--${flag} ${value}`,
      )
    }
  }
})

t.test('each UDP port once, and not the one that WireGuard has', async t => {
  const both = ['--forward', '53-60/udp', '--forward', '60/udp']
  t.throws(() => parsePair(flags('pair', ...both)), {
    code: 'USAGE',
    message: '--forward: found port 60 twice for UDP, in 53-60 and 60; allowed: each port once',
  })
  const moved = ['pair', '--endpoint', 'gw:53', '--target', 'dns', '--forward']
  t.throws(() => parsePair([...moved, '53/udp']), {
    code: 'USAGE',
    message: /any UDP port but 53, WireGuard's/,
  })
  t.match(parsePair([...moved, '51820/udp']).forwards, [{ name: 'udp-51820' }])
  t.match(parsePair([...moved, '53']).forwards, [{ name: 'tcp-53' }])
})

t.test('missing and unknown', async t => {
  const usage = (args: string[], message: RegExp) => {
    t.throws(() => parsePair(args), { code: 'USAGE', message })
    try {
      parsePair(args)
    } catch (error) {
      t.notMatch((error as EndError).line, '\n', 'one line')
    }
  }
  usage([], /^DIR is missing/)
  usage([''], /^DIR is missing/)
  usage(['pair'], /^--endpoint .* is missing$/)
  usage(['pair', '--endpoint', 'a'], /^--forward .* is missing$/)
  usage(['pair', '--endpoint', 'a', '--forward', '1'], /^--target .* is missing$/)
  usage(['pair', 'other'], /^found 2 folders; allowed: one DIR$/)
  usage(flags('pa:ir'), /^DIR: found "pa:ir"; allowed: /)
  usage(['--', ...flags('-pair').slice(0, 1)], /^DIR: found "-pair"/)
  usage(flags('pa,ir'), /^DIR: found /)
  usage(flags('pa\nir'), /^DIR: found "pa\\nir"/)
  usage(flags('pair', '--force'), /--force/)
  usage(flags('pair', '--forward', '-80'), /--forward/)
  usage(flags('pair', '--inline=yes'), /--inline/)
})
