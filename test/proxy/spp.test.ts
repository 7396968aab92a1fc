import t from 'tap'
import { encodeSpp, hasSppMagic, isSppReply, parseSpp, sppLength } from '../../src/proxy/spp.ts'

const hex = (...parts: string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')
const client = { address: '203.0.113.7', port: 56324 }
const proxy = { address: '198.51.100.20', port: 443 }
const v4 = hex('56ec 00000000000000000000ffffcb007107 00000000000000000000ffffc6336414', 'dc04 01bb')
const v6 = hex('56ec 20010db8000000000000000000000007 20010db8000100020003000400050006 dc04 01bb')
const v6Ends = {
  client: { address: '2001:db8::7', port: 56324 },
  proxy: { address: '2001:db8:1:2:3:4:5:6', port: 443 },
}

t.test('headers by hand', async t => {
  t.equal(sppLength, 38)
  t.same(encodeSpp(client, proxy), v4)
  t.same(encodeSpp({ ...client, address: `::ffff:${client.address}` }, proxy), v4)
  t.same(parseSpp(v4), { client, proxy })
  t.same(encodeSpp(v6Ends.client, v6Ends.proxy), v6)
  t.same(parseSpp(Buffer.concat([v6, v4])), v6Ends, 'what follows is payload, a second header too')
  const zone = { address: 'fe80::1%eth0', port: 1 }
  t.same(parseSpp(encodeSpp(zone, proxy))?.client, { address: 'fe80::1', port: 1 })
  t.same(parseSpp(encodeSpp({ address: '::', port: 0 }, proxy))?.client, { address: '::', port: 0 })
})

t.test('what is none', async t => {
  for (let length = 0; length < sppLength; length++) {
    t.equal(parseSpp(v4.subarray(0, length)), undefined)
    t.equal(hasSppMagic(v4.subarray(0, length)), length >= 2)
  }
  for (let bit = 0; bit < 16; bit++) {
    const bytes = Buffer.from(v4)
    bytes[bit >> 3]! ^= 1 << (bit & 7)
    t.equal(parseSpp(bytes), undefined)
    t.notOk(hasSppMagic(bytes))
  }
})

t.test('a reply names the same client', async t => {
  t.ok(isSppReply(v4, v4), 'one of no length')
  t.ok(isSppReply(Buffer.concat([v4, Buffer.from('reply')]), v4))
  t.notOk(isSppReply(v4.subarray(0, 37), v4))
  t.notOk(isSppReply(v6, v4))
  for (let at = 0; at < sppLength; at++) {
    const bytes = Buffer.from(v4)
    bytes[at]! ^= 1
    const isOfProxy = (at >= 18 && at < 34) || at >= 36
    t.equal(isSppReply(bytes, v4), isOfProxy, `byte ${at}`)
  }
})
