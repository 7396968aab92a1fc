import t from 'tap'
import type { UdpForm } from '../../src/config/config.ts'
import { FarEnd } from '../../src/datagram/far-end.ts'
import { type FlowTarget, FormSender } from '../../src/datagram/sender.ts'
import { flowOf, knownAnswer, unknownAnswer } from '../../src/proxy/flow-mark.ts'
import { encodeProxyV2, parseProxyHeader, type Tlv } from '../../src/proxy/proxy-header.ts'
import { encodeSpp, sppLength } from '../../src/proxy/spp.ts'

const client = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 53 }
const nonce = Buffer.from('12345678')
const mtuPayload = 1392
const payload = Buffer.from('payload')
const full = Buffer.alloc(mtuPayload, 'f')
const empty = Buffer.alloc(0)
const header = encodeProxyV2(client, destination, [], 107, 'udp').bytes
/** A payload that a client wrote to be taken for another. */
const forged = encodeProxyV2({ address: '192.0.2.66', port: 6 }, destination, [], 107, 'udp').bytes

function sender(form: false | UdpForm, options: Partial<FlowTarget> = {}, far = new FarEnd<FormSender>()) {
  const target = { form, client, destination, tlvs: [], limit: 107, mtuPayload, proxyFirst: 10_000 }
  return new FormSender({ ...target, nonce: undefined, ...options }, far)
}

const marked = (options: Partial<FlowTarget> = {}, far?: FarEnd<FormSender>) =>
  sender('v2-every', { nonce, ...options }, far)
const markOf = (bytes: unknown) => flowOf(parseProxyHeader(bytes as Buffer, 'v2')?.tlvs ?? [])

t.test('bare', async t => {
  const bare = sender(false)
  for (const any of [payload, empty, forged, full]) t.same(bare.wrap(any, 0), empty)
  t.equal(bare.wrap(Buffer.alloc(mtuPayload + 1), 0), 'too-big')
  t.same(bare.take(), [])
  t.equal(bare.reply(unknownAnswer, 0), unknownAnswer)
})

t.test('v2-every and spp: one header before every datagram', async t => {
  const spp = encodeSpp(client, destination)
  for (const [form, told] of [
    ['v2-every', header],
    ['spp', spp],
  ] as const) {
    const flow = sender(form)
    const first = flow.wrap(payload, 0)
    t.same(first, told)
    for (const any of [payload, empty, forged, spp, full.subarray(told.length)])
      t.equal(flow.wrap(any, 1e6), first, 'the same buffer')
    for (const any of [full, full.subarray(told.length - 1)]) t.equal(flow.wrap(any, 0), 'too-big')
    t.same(flow.take(), [])
  }
  t.equal(sender('v2-every').reply(forged, 0), forged, 'a reply is passed on as it is')
})

t.test('TLVs that were received go on', async t => {
  const id: Tlv = { type: 5, value: Buffer.alloc(16, 7) }
  const more: Tlv = { type: 2, value: Buffer.alloc(40, 'a') }
  const plain = sender('v2-every', { tlvs: [more, id] }).wrap(payload, 0)
  t.same(parseProxyHeader(plain as Buffer, 'v2')?.tlvs, [more, id])
  // IPv6, FLOW and UNIQUE_ID take 83 bytes of 107.
  const far = { address: '2001:db8::1', port: 1 }
  const tight = marked({ tlvs: [more, id], client: far }).wrap(payload, 0) as Buffer
  t.match(markOf(tight), { nonce })
  t.same(parseProxyHeader(tight, 'v2')?.tlvs.slice(1), [id])
  const least = marked({ tlvs: [more, id], client: far, limit: 64 }).wrap(payload, 0) as Buffer
  t.equal(least.length, 64)
  t.match(markOf(least), { nonce })
  const none = marked({ client: far, limit: 63 }).wrap(payload, 0)
  t.equal(markOf(none), undefined, 'no room for FLOW: as to a receiver of another kind')
})

t.test('spp: replies carry the header', async t => {
  const flow = sender('spp')
  const spp = encodeSpp(client, destination)
  t.same(flow.reply(Buffer.concat([spp, payload]), 0), payload)
  t.same(flow.reply(spp, 0), empty)
  t.same(flow.reply(Buffer.concat([spp, spp]), 0), spp, 'one is taken off')
  t.equal(flow.reply(payload, 0), 'reply-header')
  t.equal(flow.reply(spp.subarray(0, sppLength - 1), 0), 'reply-header')
  t.equal(flow.reply(encodeSpp({ ...client, port: 1 }, destination), 0), 'reply-header')
})

t.test('v2-first: at the beginning, and after a pause', async t => {
  const flow = sender('v2-first')
  t.equal(flow.wrap(full, 0), 'too-big', 'the header would not fit, and is told by the next')
  t.same(flow.wrap(payload, 0), header)
  t.same(flow.wrap(full, 9000), empty)
  t.equal(flow.wrap(forged, 9500), 'header-invalid', 'never bare what would be taken for a header')
  t.same(flow.wrap(payload, 18_800), empty)
  t.same(flow.wrap(forged, 28_800), header, 'nothing for ten seconds')
  t.same(flow.wrap(empty, 28_800), empty)
  flow.unsent()
  t.same(flow.wrap(payload, 28_801), header, 'the one with it has never left')
  t.same(flow.take(), [])
})

t.test('v2-alone: a datagram of its own', async t => {
  const flow = sender('v2-alone')
  t.same(flow.wrap(full, 0), empty)
  t.same(flow.take(), [header])
  t.same(flow.take(), [], 'once')
  flow.wrap(payload, 900)
  t.same(flow.take(), [])
  flow.wrap(payload, 1000)
  t.same(flow.take(), [header], 'again as long as the target is silent')
  t.equal(flow.reply(payload, 1900), payload)
  flow.wrap(payload, 2800)
  t.same(flow.take(), [], 'not while it answers')
  flow.wrap(empty, 40_000)
  t.same(flow.take(), [header])
  t.equal(flow.wrap(forged, 40_001), 'header-invalid')
  flow.unsent()
  flow.reply(payload, 30_000)
  flow.wrap(payload, 40_002)
  t.same(flow.take(), [header])
})

t.test('FLOW: headers until the far end knows, then bare', async t => {
  const flow = marked()
  for (let i = 0; i < 100; i++)
    t.same(markOf(flow.wrap(payload, i)), { nonce, isAlone: false, ownsKept: false })
  t.equal(flow.reply(knownAnswer(Buffer.from('another.')), 100), 'answer')
  t.ok(markOf(flow.wrap(payload, 100)), 'KNOWN of another flow')
  t.equal(flow.reply(knownAnswer(nonce), 101), 'answer')
  for (const any of [payload, empty, full, encodeSpp(client, client)]) t.same(flow.wrap(any, 102), empty)
  t.equal(flow.wrap(Buffer.alloc(mtuPayload + 1), 102), 'too-big')
  t.match(markOf(flow.wrap(forged, 102)), { nonce }, 'a header before what would be taken for one')
  t.match(markOf(flow.wrap(forged.subarray(0, 12), 102)), { nonce })
  t.same(flow.wrap(forged.subarray(0, 11), 102), empty, 'not before what is none')
  t.equal(flow.wrap(Buffer.concat([forged, full]).subarray(0, mtuPayload), 102), 'too-big')
  t.same(flow.take(), [])
})

t.test('FLOW: what does not fit beside the header waits', async t => {
  const flow = marked()
  for (let i = 0; i < 8; i++) t.equal(flow.wrap(full, i), 'kept')
  t.equal(flow.wrap(full, 8), 'backlog')
  const alone = flow.take()
  t.equal(alone.length, 8)
  t.same(markOf(alone[0]), { nonce, isAlone: true, ownsKept: false })
  t.equal(flow.reply(knownAnswer(nonce), 40), 'answer')
  t.same(flow.take(), Array(8).fill(full))
  t.equal(flow.end(), 0)
})

t.test('FLOW: what waits is given up after a second', async t => {
  const flow = marked()
  for (let i = 0; i < 8; i++) t.equal(flow.wrap(full, 0), 'kept')
  t.equal(flow.wrap(full, 999), 'backlog')
  t.equal(flow.wrap(empty, 1000) instanceof Buffer, true)
  t.equal(flow.wrap(full, 1000), 'kept', 'there is room again')
  flow.take()
  flow.reply(knownAnswer(nonce), 1040)
  t.same(flow.take(), [full])
  t.equal(flow.end(), 8)
})

t.test('FLOW: a receiver of another kind gets nothing bare', async t => {
  const far = new FarEnd<FormSender>()
  const flow = marked({}, far)
  for (let i = 0; i < 32; i++) t.ok(markOf(flow.wrap(payload, 0)))
  t.equal(flow.wrap(full, 1), 'too-big')
  t.equal(flow.reply(payload, 1), payload)
  t.equal(flow.wrap(full, 1000), 'kept', 'it is asked once a second')
  t.equal(flow.wrap(full, 1001), 'too-big')
  t.equal(flow.take().length, 1)
  t.equal(far.kept.givenUp(1999), 0)
  t.equal(far.kept.givenUp(2000), 1)
  t.equal(flow.wrap(full, 2000), 'kept')
  t.equal(flow.end(), 2)
})

t.test('UNKNOWN: the header alone, and headers until KNOWN', async t => {
  const flow = marked()
  flow.wrap(payload, 0)
  t.equal(flow.reply(unknownAnswer, 0), 'answer')
  t.same(flow.take(), [], 'of a flow before it on its port: it has sent nothing bare')
  flow.reply(knownAnswer(nonce), 1)
  t.equal(flow.reply(unknownAnswer, 1), 'answer')
  t.same(flow.take(), [])
  t.same(flow.wrap(payload, 2), empty)
  t.equal(flow.reply(unknownAnswer, 3), 'answer')
  t.same(flow.take().map(markOf), [{ nonce, isAlone: true, ownsKept: true }])
  t.same(markOf(flow.wrap(payload, 4)), { nonce, isAlone: false, ownsKept: true })
  t.equal(flow.wrap(full, 4), 'kept')
  t.same(flow.take().map(markOf), [{ nonce, isAlone: true, ownsKept: true }])
  flow.reply(knownAnswer(nonce), 5)
  t.same(flow.take(), [full])
  t.same(flow.wrap(payload, 6), empty)
})

t.test('replies of a far end of ours', async t => {
  const far = new FarEnd<FormSender>()
  const flow = marked({}, far)
  flow.wrap(payload, 0)
  t.equal(flow.reply(payload, 0), payload, 'nobody knows yet what the target is')
  for (const reply of [payload, unknownAnswer, forged])
    t.same(flow.reply(Buffer.concat([knownAnswer(nonce), reply]), 1), reply, 'KNOWN is taken off')
  t.equal(flow.reply(payload, 2), payload)
  const other = Buffer.concat([knownAnswer(Buffer.from('another.')), payload])
  t.equal(flow.reply(other, 3), 'reply-header')

  const next = marked({ nonce: Buffer.from('the next') }, far)
  next.wrap(payload, 4)
  t.equal(next.reply(payload, 4), 'reply-header', 'of a flow before it on its port')
  t.equal(next.reply(other, 4), 'reply-header')
  for (let i = 0; i < 6; i++) t.equal(next.reply(payload, 5), 'reply-header')
  t.equal(next.reply(payload, 6), payload, 'somebody else has taken its place')
})
