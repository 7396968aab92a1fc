import fc from 'fast-check'
import t from 'tap'
import { crc32c } from '../../src/proxy/crc32c.ts'
import {
  encodeProxyV2,
  newUniqueId,
  ProxyHeaderError,
  parseProxyHeader,
  type Tlv,
  uniqueIdOf,
  withUniqueId,
} from '../../src/proxy/proxy-header.ts'

const [ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL] = [1, 2, 3, 5, 0x20]
const source = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 443 }
const checksum = { type: CRC32C, value: Buffer.alloc(4) }
const tlv = (type: number, length: number): Tlv => ({ type, value: Buffer.alloc(length, type) })

/** The TLVs that come out of a header written with these. */
function sent(...tlvs: Tlv[]): { tlvs: readonly Tlv[]; size: number; droppedTlvs: number } {
  const { bytes, droppedTlvs } = encodeProxyV2(source, destination, tlvs)
  return { tlvs: parseProxyHeader(bytes, 'v2')!.tlvs, size: bytes.length, droppedTlvs }
}

t.test('CRC-32C', async t => {
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.equal(crc32c(Buffer.alloc(0)), 0)
  // RFC 3720, B.4.
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa)
  t.equal(crc32c(Buffer.alloc(32, 0xff)), 0x62a8ab43)
  t.equal(crc32c(Buffer.from('56789'), crc32c(Buffer.from('1234'))), 0xe3069283, 'in pieces')
})

t.test('a header with CRC32C by hand', async t => {
  const zeros = Buffer.from(
    '0d0a0d0a000d0a515549540a 2111 0013 cb007107 c6336414 dc04 01bb 03 0004 00000000'.replaceAll(' ', ''),
    'hex',
  )
  const { bytes } = encodeProxyV2(source, destination, [{ type: CRC32C, value: Buffer.from('wxyz') }])
  const value = Buffer.from('c3b38e91', 'hex')
  t.same(bytes, Buffer.concat([zeros.subarray(0, 31), value]), 'computed over zeros')
  t.same(parseProxyHeader(bytes, 'any')?.tlvs, [{ type: CRC32C, value }])
})

t.test('every flipped bit is caught by CRC32C or before it', async t => {
  const { bytes } = encodeProxyV2(source, destination, [tlv(ALPN, 2), checksum, tlv(0xe0, 5)])
  t.equal(parseProxyHeader(bytes, 'any')?.length, bytes.length)
  let caught = 0
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    let taken: unknown
    try {
      taken = parseProxyHeader(flipped, 'any')
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error
      caught++
      continue
    }
    const [at, mask] = [bit >> 3, 1 << (bit & 7)]
    // LOCAL for PROXY: the block is discarded, checksum and all. A greater length: more bytes are awaited.
    // Another type for the checksum's: there is none to verify.
    const isExempt =
      (at === 12 && mask === 1) ||
      ((at === 14 || at === 15) && taken === undefined) ||
      (at === 33 && bytes[33] === CRC32C)
    if (!isExempt) t.fail(`bit ${bit & 7} of byte ${at}: ${JSON.stringify(taken)}`)
  }
  t.ok(caught > bytes.length * 7, `${caught} of ${bytes.length * 8}`)
})

t.test('what is too long for a receiver is left out and counted', async t => {
  for (const [type, greatest] of [
    [AUTHORITY, 255],
    [UNIQUE_ID, 128],
    [ALPN, 1024],
    [SSL, 1024],
  ] as const) {
    t.equal(sent(tlv(type, greatest)).droppedTlvs, 0)
    const { tlvs, droppedTlvs } = sent(tlv(0xe0, 1), tlv(type, greatest + 1), tlv(0xe1, 1))
    t.same(tlvs, [tlv(0xe0, 1), tlv(0xe1, 1)], 'its neighbours stay')
    t.equal(droppedTlvs, 1)
  }
  t.equal(sent(tlv(CRC32C, 5)).droppedTlvs, 1, 'a checksum that is none')
  t.equal(sent(tlv(SSL, 65535)).droppedTlvs, 1)
})

t.test('a header has at most 1536 bytes, the last TLVs are left out', async t => {
  const room = 1536 - 28
  const exact = [tlv(ALPN, 1000), tlv(0xe0, room - 1003 - 3)]
  t.same(sent(...exact), { tlvs: exact, size: 1536, droppedTlvs: 0 })
  const over = sent(exact[0]!, tlv(0xe0, room - 1003 - 2))
  t.same(over, { tlvs: [exact[0]], size: 28 + 1003, droppedTlvs: 1 })
  const many = Array.from({ length: 1365 }, (_, i) => tlv(0xe0 + (i % 16), 0))
  t.same(sent(...many), { tlvs: many.slice(0, 502), size: 1534, droppedTlvs: 863 })
  const last = sent(checksum, tlv(ALPN, 1024), tlv(SSL, 1024))
  t.equal(last.droppedTlvs, 1, 'and the checksum is that of what is left')
})

t.test('where room is short, UNIQUE_ID has it first, then AUTHORITY, then what was received', async t => {
  const id = tlv(UNIQUE_ID, 16)
  const left = (limit: number, ...tlvs: Tlv[]) => {
    const { bytes, droppedTlvs } = encodeProxyV2(source, destination, tlvs, limit)
    t.ok(bytes.length <= limit, `${bytes.length} of ${limit}`)
    return { types: parseProxyHeader(bytes, 'v2')!.tlvs.map(({ type }) => type), droppedTlvs }
  }
  const received = [tlv(SSL, 40), tlv(AUTHORITY, 15), tlv(ALPN, 8), id]
  t.same(left(107, ...received), { types: [AUTHORITY, ALPN, UNIQUE_ID], droppedTlvs: 1 }, 'in their order')
  t.same(left(65, ...received), { types: [AUTHORITY, UNIQUE_ID], droppedTlvs: 2 })
  t.same(left(64, ...received), { types: [ALPN, UNIQUE_ID], droppedTlvs: 2 })
  t.same(left(46, ...received), { types: [AUTHORITY], droppedTlvs: 3 })
  t.same(left(28, ...received), { types: [], droppedTlvs: 4 })
  // The longest names beside a UNIQUE_ID in nginx's buffer of 107 bytes.
  t.same(left(107, tlv(AUTHORITY, 57), id), { types: [AUTHORITY, UNIQUE_ID], droppedTlvs: 0 })
  t.same(left(107, tlv(AUTHORITY, 58), id), { types: [UNIQUE_ID], droppedTlvs: 1 })
  const [from, to] = [
    { address: '2001:db8::7', port: 1 },
    { address: '2001:db8::1', port: 443 },
  ]
  for (const [name, size, droppedTlvs] of [
    [33, 107, 0],
    [34, 71, 1],
  ] as const) {
    const sent6 = encodeProxyV2(from, to, [tlv(AUTHORITY, name), id], 107)
    t.same([sent6.bytes.length, sent6.droppedTlvs], [size, droppedTlvs], `IPv6, a name of ${name}`)
  }
})

t.test('the unique id', async t => {
  const [first, second, other] = [tlv(UNIQUE_ID, 16), tlv(UNIQUE_ID, 8), tlv(ALPN, 2)]
  const never = () => t.fail('an id is there') as never
  t.equal(uniqueIdOf([]), undefined)
  t.equal(uniqueIdOf([other, first, second]), first.value)
  t.same(withUniqueId([other, first], never), { tlvs: [other, first], id: first.value })
  t.same(withUniqueId([first, other, second], never), { tlvs: [first, other], id: first.value }, 'doubled')
  const id = newUniqueId()
  t.same(
    withUniqueId([other], () => id),
    { tlvs: [other, { type: UNIQUE_ID, value: id }], id },
  )
  const given: Tlv[] = []
  withUniqueId(given, newUniqueId)
  t.same(given, [], 'the list itself is not touched')
})

t.test('new ids are 16 bytes of their own, none twice, also across refills', async t => {
  const ids = Array.from({ length: 1000 }, newUniqueId)
  const texts = ids.map(id => id.toString('hex'))
  t.ok(ids.every(id => id.length === 16))
  t.equal(new Set(texts).size, ids.length)
  ids[0]!.fill(0)
  t.same(
    ids.slice(1).map(id => id.toString('hex')),
    texts.slice(1),
    'writing into one leaves the others alone',
  )
})

t.test('values do not share memory with what was received', async t => {
  const { bytes } = encodeProxyV2(source, destination, [tlv(ALPN, 8)])
  const header = parseProxyHeader(bytes, 'any')!
  bytes.fill(0)
  t.same(header.tlvs, [tlv(ALPN, 8)])
})

t.test('any TLVs go round', async t => {
  const types = fc.integer({ min: 0, max: 255 }).filter(type => type !== CRC32C)
  const one = fc.record({
    type: types,
    value: fc.uint8Array({ maxLength: 100 }).map(value => Buffer.from(value)),
  })
  const isSame = (tlvs: Tlv[], at: number | null) => {
    const given = at === null ? tlvs : [...tlvs.slice(0, at), checksum, ...tlvs.slice(at)]
    const got = sent(...given)
    const isEqual = (tlv: Tlv, i: number) =>
      tlv.type === given[i]!.type && (tlv.type === CRC32C || tlv.value.equals(given[i]!.value))
    return got.droppedTlvs === 0 && got.tlvs.length === given.length && got.tlvs.every(isEqual)
  }
  const lists = fc.array(one, { maxLength: 12 })
  t.doesNotThrow(() => fc.assert(fc.property(lists, fc.option(fc.nat(12)), isSame), { numRuns: 500 }))
})
