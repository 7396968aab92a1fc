import fc from 'fast-check'
import t from 'tap'
import { canonical, type SocketAddress, unmap } from '../../src/address.ts'
import {
  encodeProxyV1,
  encodeProxyV2,
  type HeaderReason,
  ProxyHeaderError,
  parseProxyHeader,
} from '../../src/proxy/proxy-header.ts'

const source = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 443 }
const v1 = encodeProxyV1(source, destination)
const v2 = encodeProxyV2(source, destination, []).bytes
const latin1 = (text: string) => Buffer.from(text, 'latin1')
const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** Why the bytes are refused; `undefined` when they are not. Any other error is a failure. */
function reasonOf(bytes: Buffer): HeaderReason | undefined {
  try {
    parseProxyHeader(bytes, 'any')
    return undefined
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error.reason
    throw error
  }
}

const localWithAddresses = hex('0d0a0d0a000d0a515549540a 2011 000c cb007107 c6336414 dc04 01bb')

t.test('the version that is required, and the other one refused at its first byte', async t => {
  for (const [bytes, came, other] of [
    [v1, 'v1', 'v2'],
    [v2, 'v2', 'v1'],
  ] as const) {
    t.equal(parseProxyHeader(bytes, 'any')?.length, bytes.length)
    t.equal(parseProxyHeader(bytes, came)?.length, bytes.length)
    for (const refused of [bytes, bytes.subarray(0, 1)])
      t.throws(() => parseProxyHeader(refused, other), {
        name: 'ProxyHeaderError',
        reason: `${came}-refused`,
        message: new RegExp(`PROXY ${came} header: byte 0 .* requires ${other}`),
      })
    for (const accept of ['any', 'v1', 'v2'] as const)
      t.equal(parseProxyHeader(Buffer.alloc(0), accept), undefined, 'nothing yet')
  }
})

t.test('every first byte', async t => {
  for (const accept of ['any', 'v1', 'v2'] as const)
    for (let value = 0; value < 256; value++) {
      const byte = Buffer.of(value)
      if (value === 0x50 && accept !== 'v2') t.equal(parseProxyHeader(byte, accept), undefined)
      else if (value === 0x0d && accept !== 'v1') t.equal(parseProxyHeader(byte, accept), undefined)
      else t.throws(() => parseProxyHeader(byte, accept), ProxyHeaderError)
    }
})

t.test('other protocols are refused by their first packet', async t => {
  for (const text of [
    'GET / HTTP/1.1\r\n',
    'POST / HTTP/1.1\r\n',
    'PRI * HTTP/2.0\r\n',
    'SSH-2.0-x\r\n',
    '\r\n\r\n\r\n',
  ])
    t.equal(reasonOf(latin1(text)), 'not-a-header')
  t.equal(reasonOf(hex('160301020001')), 'not-a-header')
})

const port = fc.integer({ min: 0, max: 65535 })
const v4 = fc.ipV4()
const mapped = fc.ipV4().map(text => `::ffff:${text}`)
const v6 = fc.ipV6().map(canonical)
const end = fc.record({ address: fc.oneof(v4, v6, mapped), port })

/** Words of zeros and not, so that every place and length of `::` comes up. */
const sparse = fc
  .array(fc.constantFrom('0', '0', '1', 'ffff'), { minLength: 8, maxLength: 8 })
  .map(words => canonical(words.join(':')))

t.test('any two addresses go round, in both versions', async t => {
  const plain = ({ address, port }: SocketAddress) => `${unmap(address)} ${port}`
  const isSame = (from: SocketAddress, to: SocketAddress) =>
    [encodeProxyV1(from, to), encodeProxyV2(from, to, []).bytes].every(bytes => {
      const header = parseProxyHeader(bytes, 'any')!
      return (
        header.length === bytes.length &&
        plain(header.source!) === plain(from) &&
        plain(header.destination!) === plain(to) &&
        header.source!.address === canonical(from.address)
      )
    })
  t.doesNotThrow(() => fc.assert(fc.property(end, end, isSame), { numRuns: 1000 }))
  const sparseEnd = fc.record({ address: sparse, port })
  t.doesNotThrow(() => fc.assert(fc.property(sparseEnd, sparseEnd, isSame), { numRuns: 1000 }))
})

t.test('any bytes at all: a header, more, or a ProxyHeaderError', async t => {
  const begun = fc.constantFrom(
    latin1('PROXY '),
    latin1('PROXY TCP4 '),
    latin1('PROXY TCP6 '),
    v1,
    v2.subarray(0, 12),
    v2.subarray(0, 14),
    v2,
  )
  const isCalm = (start: Buffer, rest: Uint8Array) => {
    try {
      const bytes = Buffer.concat([start, rest])
      return (parseProxyHeader(bytes, 'any')?.length ?? 0) <= bytes.length
    } catch (error) {
      return error instanceof ProxyHeaderError
    }
  }
  t.doesNotThrow(() =>
    fc.assert(fc.property(begun, fc.uint8Array({ maxLength: 300 }), isCalm), { numRuns: 3000 }),
  )
})

t.test('faults that other implementations are known for', async t => {
  t.test('a header in pieces is refused', async t => {
    for (const header of [v1, v2])
      for (let length = 0; length < header.length; length++)
        t.equal(parseProxyHeader(header.subarray(0, length), 'any'), undefined)
  })

  t.test('payload that comes with the header is lost', async t => {
    for (const header of [v1, v2]) {
      const bytes = Buffer.concat([header, latin1('GET / HTTP/1.1\r\n')])
      t.equal(bytes.subarray(parseProxyHeader(bytes, 'any')!.length).toString(), 'GET / HTTP/1.1\r\n')
    }
  })

  t.test('a header is written in two pieces', async t => {
    const tlvs = [{ type: 0xe0, value: Buffer.alloc(1024) }]
    for (const header of [v1, v2, encodeProxyV2(source, destination, tlvs).bytes])
      t.equal(parseProxyHeader(header, 'any')?.length, header.length, 'one buffer is the whole of it')
  })

  t.test('256 and 65536 wrap to 0', async t => {
    t.equal(reasonOf(latin1('PROXY TCP4 256.0.0.1 192.0.2.1 1 2\r\n')), 'v1-address')
    t.equal(reasonOf(latin1('PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n')), 'v1-port')
  })

  t.test('leading zeros are octal to one end and decimal to the other', async t => {
    t.equal(reasonOf(latin1('PROXY TCP4 010.0.0.1 192.0.2.1 1 2\r\n')), 'v1-address')
    t.equal(reasonOf(latin1('PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n')), 'v1-port')
  })

  t.test('LOCAL with addresses is taken at its word', async t => {
    const header = parseProxyHeader(localWithAddresses, 'any')
    t.match(header, { command: 'LOCAL', source: undefined, destination: undefined, length: 28 })
    const odd = hex('0d0a0d0a000d0a515549540a 2021 0003 ffffff')
    t.match(
      parseProxyHeader(odd, 'any'),
      { command: 'LOCAL', tlvs: [], length: 19 },
      'nor is its block looked into',
    )
  })

  t.test('LOCAL passed on crashes or invents an address', async t => {
    for (const bytes of [localWithAddresses, latin1('PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n')]) {
      const { source, destination, tlvs } = parseProxyHeader(bytes, 'any')!
      t.same(encodeProxyV2(source, destination, tlvs).bytes, hex('0d0a0d0a000d0a515549540a 2000 0000'))
      t.equal(encodeProxyV1(source, destination).toString('latin1'), 'PROXY UNKNOWN\r\n')
    }
  })

  t.test('the second of two TLVs of one type is dropped', async t => {
    const twice = [1, 2].map(n => ({ type: 0xe0, value: Buffer.of(n) }))
    const { bytes } = encodeProxyV2(source, destination, twice)
    t.same(parseProxyHeader(bytes, 'any')?.tlvs, twice)
  })

  t.test('a header of 64 KiB is waited for', async t => {
    t.equal(reasonOf(hex('0d0a0d0a000d0a515549540a 2111 ff')), 'v2-too-long')
    t.equal(reasonOf(latin1(`PROXY UNKNOWN ${'x'.repeat(65536)}`)), 'v1-too-long')
  })
})
