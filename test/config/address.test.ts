import fc from 'fast-check'
import t from 'tap'
import {
  canonical,
  covers,
  familyOf,
  formatHostPort,
  fromNumber,
  isHostName,
  isLiteral,
  networkOf,
  parseCidr,
  parseHostPorts,
  toNumber,
  unmap,
} from '../../src/address.ts'

const hostName = fc.stringMatching(/^[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]([a-z0-9-]{0,8}[a-z0-9])?){0,3}$/)
const port = fc.integer({ min: 1, max: 65535 })

t.test('addresses survive the way to a number and back', async t => {
  fc.assert(fc.property(fc.ipV4(), text => fromNumber(toNumber(text), 4) === text))
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }),
      value => toNumber(fromNumber(value, 6)) === value,
    ),
  )
  fc.assert(
    fc.property(fc.ipV6(), text => {
      const plain = canonical(text)
      return canonical(plain) === plain && (familyOf(plain) === 4 || toNumber(plain) === toNumber(text))
    }),
  )
  t.equal(toNumber('::'), 0n)
  t.equal(toNumber('::1'), 1n)
  t.equal(toNumber('1::'), 1n << 112n)
  t.equal(toNumber('::ffff:192.0.2.1'), 0xffff_c000_0201n)
})

t.test('mapped addresses', async t => {
  t.equal(unmap('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(unmap('::ffff:1'), '::ffff:1')
  t.equal(unmap('2001:db8::1'), '2001:db8::1')
  t.equal(canonical('::FFFF:192.0.2.1'), '192.0.2.1')
  t.equal(canonical('::ffff:c000:0201'), '192.0.2.1')
  t.equal(canonical('2001:DB8:0:0:0::1'), '2001:db8::1')
})

t.test('families', async t => {
  t.equal(familyOf('192.0.2.1'), 4)
  t.equal(familyOf('::1'), 6)
  for (const text of [
    '',
    '192.0.2',
    '192.0.2.256',
    '01.2.3.4',
    '1.2.3.4 ',
    'fe80::1%eth0',
    '[::1]',
    ':::',
    'localhost',
  ])
    t.equal(familyOf(text), 0, text)
})

t.test('prefixes', async t => {
  t.same(parseCidr('10.1.10.2/24'), { address: '10.1.10.2', bits: 24, family: 4 })
  t.same(parseCidr('10.1.10.2'), { address: '10.1.10.2', bits: 32, family: 4 })
  t.same(parseCidr('FD00::0:1/64'), { address: 'fd00::1', bits: 64, family: 6 })
  t.same(parseCidr('fd00::1'), { address: 'fd00::1', bits: 128, family: 6 })
  for (const text of [
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '::/129',
    '10.0.0.0/8/8',
    '10/8',
  ])
    t.equal(parseCidr(text), undefined, text)
  t.equal(networkOf(parseCidr('10.1.10.2/24')!), '10.1.10.0/24')
  t.equal(networkOf(parseCidr('255.255.255.255/0')!), '0.0.0.0/0')
  t.equal(networkOf(parseCidr('fd00::5/64')!), 'fd00::/64')
  fc.assert(
    fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), (address, bits) => {
      const cidr = { address, bits, family: 4 } as const
      const network = parseCidr(networkOf(cidr))!
      return covers(cidr, address) && covers(network, address) && networkOf(network) === networkOf(cidr)
    }),
  )
  t.notOk(covers(parseCidr('0.0.0.0/0')!, '::1'))
  t.notOk(covers(parseCidr('::/0')!, '192.0.2.1'))
  t.notOk(covers(parseCidr('10.1.10.0/24')!, '10.1.11.0'))
  t.notOk(covers(parseCidr('10.1.10.0/24')!, 'example.com'))
})

t.test('hosts with ports', async t => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), hostName), port, (host, first) => {
      const parsed = parseHostPorts(formatHostPort(host, first))
      return parsed?.host === host && parsed.first === first && parsed.last === first
    }),
  )
  fc.assert(
    fc.property(
      fc.ipV6(),
      port,
      (host, first) => parseHostPorts(formatHostPort(host, first))?.host === canonical(host),
    ),
  )
  fc.assert(
    fc.property(port, port, (a, b) => {
      const parsed = parseHostPorts(`:${a}-${b}`)
      return a <= b ? parsed?.first === a && parsed.last === b && parsed.host === '' : parsed === undefined
    }),
  )
  for (const text of [
    '',
    '80',
    ':',
    ':0',
    ':65536',
    ':080',
    ':8-',
    ':9-8',
    'a b:80',
    '::1:80',
    '[::1]',
    '[::1]80',
    '[]:80',
    '[192.0.2.1]:80',
    '1.2.3:80',
    'a:80 ',
    '-a:80',
    'a..b:80',
    '*:80',
    ':99999999999',
  ])
    t.equal(parseHostPorts(text), undefined, text)
})

t.test('names', async t => {
  for (const name of [
    'a',
    'example.com',
    'example.com.',
    'a_b.svc',
    'x1',
    '3com.example',
    'xn--bcher-kva.example',
  ])
    t.ok(isHostName(name), name)
  for (const name of [
    '',
    '.',
    'a..b',
    '-a',
    'a-',
    'a.1',
    '1',
    'ä',
    'a'.repeat(64),
    `${'a.'.repeat(127)}b`,
    'a/b',
  ])
    t.notOk(isHostName(name), name)
})

t.test('an address with a zone is no name', async t => {
  for (const host of ['10.1.10.1', 'fe80::1', 'fe80::1%eth0', 'fe80::1%1'])
    t.equal(isLiteral(host), true, host)
  for (const host of ['', 'a', 'a%b', '10.1.10.1%eth0', 'fe80::1%', 'fe80::1%a%b', '%eth0'])
    t.equal(isLiteral(host), false, host)
})
