import t from 'tap'
import {
  encodeProxyV2,
  type HeaderReason,
  ProxyHeaderError,
  parseProxyHeader,
} from '../../src/proxy/proxy-header.ts'

const signature = '0d0a0d0a000d0a515549540a'
const hex = (...parts: string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')
const tcp4 = hex(signature, '21 11 000c', 'cb007107 c6336414 dc04 01bb')
const tcp6 = hex(
  signature,
  '21 21 0024',
  '20010db8000000000000000000000007 20010db8000100020003000400050006',
  'dc04 01bb',
)
const withTlvs = hex(
  signature,
  '21 11 0023 cb007107 c6336414 dc04 01bb',
  '01 0002 6832', // ALPN h2
  '05 0004 deadbeef', // UNIQUE_ID
  '04 0000', // NOOP, empty
  'e0 0001 61', // of an application
  'e0 0001 61', // and again
)
const source = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 443 }
const tlvsOf = [
  { type: 1, value: Buffer.from('h2') },
  { type: 5, value: hex('deadbeef') },
  { type: 4, value: Buffer.alloc(0) },
  { type: 0xe0, value: Buffer.from('a') },
  { type: 0xe0, value: Buffer.from('a') },
]

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

/** How many bytes are enough to be refused, and why. */
function refusalOf(bytes: Buffer): [length: number, reason: HeaderReason | undefined] {
  for (let length = 0; length <= bytes.length; length++) {
    const reason = reasonOf(bytes.subarray(0, length))
    if (reason !== undefined) return [length, reason]
  }
  return [Number.POSITIVE_INFINITY, undefined]
}

t.test('headers by hand, whole and split at every byte', async t => {
  const proxy = { version: 2, command: 'PROXY', transport: 'tcp', source, destination, tlvs: [] }
  const none = { transport: undefined, source: undefined, destination: undefined }
  const v6 = {
    source: { address: '2001:db8::7', port: 56324 },
    destination: { address: '2001:db8:1:2:3:4:5:6', port: 443 },
  }
  const mapped = hex('00000000000000000000ffffcb007107 00000000000000000000ffffc6336414 dc04 01bb')
  for (const [name, bytes, told] of [
    ['TCP over IPv4', tcp4, proxy],
    ['TCP over IPv6', tcp6, { ...proxy, ...v6 }],
    ['UDP over IPv4', hex(signature, '21 12 000c', tcp4.toString('hex', 16)), { ...proxy, transport: 'udp' }],
    [
      'UDP over IPv6',
      hex(signature, '21 22 0024', tcp6.toString('hex', 16)),
      { ...proxy, ...v6, transport: 'udp' },
    ],
    ['mapped', Buffer.concat([hex(signature, '21 21 0024'), mapped]), proxy],
    ['TLVs', withTlvs, { ...proxy, tlvs: tlvsOf }],
    [
      'CRC32C, TLV',
      hex(signature, '21 11 0018', tcp4.toString('hex', 16), '03 0004 81a72490 01 0002 6832'),
      { ...proxy, tlvs: [{ type: 3, value: hex('81a72490') }, ...tlvsOf.slice(0, 1)] },
    ],
    ['AF_UNSPEC', hex(signature, '21 00 0000'), { ...proxy, ...none }],
    [
      'AF_UNSPEC, TLV',
      hex(signature, '21 00 0004 e0 0001 61'),
      { ...proxy, ...none, tlvs: tlvsOf.slice(3, 4) },
    ],
    ['AF_UNIX', hex(signature, '21 31 00d8', '2f'.repeat(216)), { ...proxy, ...none, transport: 'tcp' }],
    [
      'AF_INET, transport UNSPEC',
      hex(signature, '21 10 000c', tcp4.toString('hex', 16)),
      { ...proxy, ...none },
    ],
    ['LOCAL', hex(signature, '20 00 0000'), { ...proxy, ...none, command: 'LOCAL' }],
    ['the longest', hex(signature, '20 00 1000', '00'.repeat(4096)), { ...proxy, ...none, command: 'LOCAL' }],
  ] as const) {
    const whole = { ...told, length: bytes.length }
    t.same(parseProxyHeader(bytes, 'v2'), whole, name)
    let taken = 0
    for (let length = 0; length < bytes.length; length++)
      if (parseProxyHeader(bytes.subarray(0, length), 'any') !== undefined) taken++
    t.equal(taken, 0, `${name}: no beginning of it is taken`)
    for (const payload of ['G', '\r\n', bytes.toString('latin1'), '\0'.repeat(5000)])
      t.same(parseProxyHeader(Buffer.concat([bytes, Buffer.from(payload, 'latin1')]), 'any'), whole)
  }
})

t.test('a corrupted signature is refused at exactly that byte', async t => {
  for (let at = 1; at < 12; at++)
    for (let value = 0; value < 256; value++) {
      if (value === tcp4[at]) continue
      const bytes = Buffer.from(tcp4)
      bytes[at] = value
      const [length, reason] = refusalOf(bytes)
      if (length !== at + 1 || reason !== 'not-a-header') t.fail(`byte ${at} = ${value}: ${length} ${reason}`)
    }
  t.throws(() => parseProxyHeader(hex('0d0a0d0b'), 'any'), {
    message: /byte 3 is 0x0b, the signature has 0x0a/,
  })
})

t.test('every version and command', async t => {
  for (let value = 0; value < 256; value++) {
    const bytes = Buffer.from(tcp4)
    bytes[12] = value
    const expected = value >> 4 !== 2 ? 'v2-version' : value > 0x21 ? 'v2-command' : undefined
    t.same(refusalOf(bytes), expected === undefined ? [Number.POSITIVE_INFINITY, undefined] : [13, expected])
  }
})

t.test('every family and transport, with PROXY and with LOCAL', async t => {
  const needs = [0, 12, 36, 216]
  for (const command of [0x20, 0x21])
    for (let value = 0; value < 256; value++) {
      const bytes = Buffer.concat([hex(signature, '21 00 00d8'), Buffer.alloc(216)])
      bytes[12] = command
      bytes[13] = value
      const expected = value >> 4 > 3 ? 'v2-family' : (value & 15) > 2 ? 'v2-transport' : undefined
      if (expected !== undefined) {
        t.same(refusalOf(bytes), [14, expected])
        continue
      }
      t.equal(
        parseProxyHeader(bytes, 'any')?.source !== undefined,
        command === 0x21 && [17, 18, 33, 34].includes(value),
      )
      const need = needs[value >> 4]!
      if (command === 0x20 || need === 0) continue
      bytes.writeUInt16BE(need, 14)
      t.equal(parseProxyHeader(bytes, 'any')?.length, 16 + need)
      bytes.writeUInt16BE(need - 1, 14)
      t.same(refusalOf(bytes), [16, 'v2-too-short'])
    }
})

t.test('hostile lengths', async t => {
  for (let length = 0; length < 65536; length += length < 300 ? 1 : 97) {
    const bytes = Buffer.from(tcp4.subarray(0, 16))
    bytes.writeUInt16BE(length, 14)
    const expected =
      length > 4096
        ? [length >= 0x1100 ? 15 : 16, 'v2-too-long']
        : length < 12
          ? [16, 'v2-too-short']
          : length === 13 || length === 14
            ? [16, 'v2-tlv']
            : [Number.POSITIVE_INFINITY, undefined]
    t.same(refusalOf(bytes), expected, `${length} bytes`)
  }
  t.throws(() => parseProxyHeader(hex(signature, '21 11 ffff'), 'any'), { message: /65535 at byte 14.*4096/ })
  t.throws(() => parseProxyHeader(hex(signature, '21 21 000c'), 'any'), { message: /12 at byte 14.*36/ })
})

t.test('every truncation of the TLVs', async t => {
  const boundaries = [28, 33, 40, 43, 47, 51]
  for (let end = 28; end <= withTlvs.length; end++) {
    const bytes = Buffer.from(withTlvs.subarray(0, end))
    bytes.writeUInt16BE(end - 16, 14)
    if (boundaries.includes(end)) t.equal(parseProxyHeader(bytes, 'any')?.length, end, `whole at ${end}`)
    else t.equal(reasonOf(bytes), 'v2-tlv', `cut at ${end}`)
  }
})

t.test('a TLV is judged as its bytes come', async t => {
  const header = (rest: string) => {
    const bytes = hex(signature, '21 00 0000', rest)
    bytes.writeUInt16BE(bytes.length - 16, 14)
    return bytes
  }
  for (const [rest, length, reason] of [
    ['e0 00', 16, 'v2-tlv'],
    ['e0 0001 61 e0', 19, 'v2-tlv'],
    ['e0 0100 61', 18, 'v2-tlv'],
    ['e0 0002 61', 19, 'v2-tlv'],
    ['e0 ffff 61', 18, 'v2-tlv'],
    ['03 0003 000000', 17, 'v2-tlv'],
    ['03 0003 000000 e0 0000', 19, 'v2-crc32c-length'],
    ['03 0005 0000000000', 19, 'v2-crc32c-length'],
    [`03 0100 ${'00'.repeat(256)}`, 18, 'v2-crc32c-length'],
    ['03 0004 00000000 03 0004 00000000', 24, 'v2-crc32c-twice'],
    ['03 0004 00000000', 23, 'v2-crc32c-mismatch'],
  ] as const)
    t.same(refusalOf(header(rest)), [length, reason], rest)
})

t.test('what is written', async t => {
  const write = (from: string, to: string) =>
    encodeProxyV2({ address: from, port: 0xdc04 }, { address: to, port: 443 }, []).bytes.toString('hex')
  t.same(encodeProxyV2(source, destination, []), { bytes: tcp4, droppedTlvs: 0 })
  t.same(encodeProxyV2(source, destination, tlvsOf), { bytes: withTlvs, droppedTlvs: 0 })
  t.equal(write('2001:db8::7', '2001:db8:1:2:3:4:5:6'), tcp6.toString('hex'))
  t.equal(write('::ffff:203.0.113.7', '::ffff:198.51.100.20'), tcp4.toString('hex'))
  const v6 = (from: string, to: string) => hex(signature, '21 21 0024', from, to, 'dc04 01bb').toString('hex')
  const [mapped, one] = ['00000000000000000000ffffcb007107', `${'0'.repeat(31)}1`]
  t.equal(write('203.0.113.7', '::1'), v6(mapped, one))
  t.equal(write('::1', '::ffff:203.0.113.7'), v6(one, mapped))
  t.equal(write('::', '1::'), v6('0'.repeat(32), `0001${'0'.repeat(28)}`))
  t.equal(
    write('fe80::1%eth0.100', '1:2::7:8'),
    v6(`fe80${'0'.repeat(27)}1`, '00010002000000000000000000070008'),
  )
  for (const [from, to] of [
    [undefined, undefined],
    [source, undefined],
    [undefined, destination],
    [{ address: '', port: 0 }, destination],
  ] as const)
    t.same(encodeProxyV2(from, to, tlvsOf), { bytes: hex(signature, '20 00 0000'), droppedTlvs: 0 })
})
