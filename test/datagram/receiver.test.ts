import t from 'tap'
import type { UdpForm } from '../../src/config/config.ts'
import type { Told } from '../../src/datagram/reading.ts'
import { FormReceiver } from '../../src/datagram/receiver.ts'
import { flowTlv, knownAnswer, unknownAnswer } from '../../src/proxy/flow-mark.ts'
import { encodeProxyV2, encodeUnspecV2, type Tlv } from '../../src/proxy/proxy-header.ts'
import { encodeSpp } from '../../src/proxy/spp.ts'

const sender = { address: '10.1.10.1', port: 50_001 }
const client = { address: '203.0.113.7', port: 56_324 }
const other = { address: '2001:db8::66', port: 6 }
const destination = { address: '198.51.100.20', port: 53 }
const payload = Buffer.from('payload')
const empty = Buffer.alloc(0)
const from = '10.1.10.1 50001'

const header = (of = client, tlvs: Tlv[] = [], transport: 'tcp' | 'udp' = 'udp') =>
  encodeProxyV2(of, destination, tlvs, 1536, transport).bytes
const nonceOf = (of: number) => Buffer.alloc(8, of)
const flow = (of = client, nonce = 1, options = {}) =>
  header(of, [flowTlv({ nonce: nonceOf(nonce), isAlone: false, ownsKept: false, ...options })])
const local = encodeProxyV2(undefined, undefined, []).bytes
const join = (...parts: Buffer[]) => Buffer.concat(parts)

/** A receiver, and what it reads: `[client, payload, key]` of what was told, the reason of what was dropped, or `kept`. */
function receiver(form: false | UdpForm) {
  const it = new FormReceiver(form, 10_000)
  const read = (bytes: Buffer, now = 0, by = sender) => {
    const reading = it.read(bytes, by, now)
    if (reading.kind !== 'told') return reading.kind === 'kept' ? 'kept' : reading.reason
    return [reading.source.client, reading.payload, reading.source.key] as const
  }
  return { it, read, told: (bytes: Buffer, now = 0) => it.read(bytes, sender, now) as Told }
}

t.test('bare', async t => {
  const { read } = receiver(false)
  for (const any of [payload, empty, header(), local]) t.same(read(any), [sender, any, from])
})

t.test('v2-every: a header before every datagram', async t => {
  const { read, told } = receiver('v2-every')
  for (const any of [payload, empty, header(other), local, Buffer.alloc(65_000, 1)])
    t.same(read(join(header(), any)), [client, any, `${from} 203.0.113.7 56324`], 'one is taken off')
  t.same(read(join(header(other), payload)), [other, payload, `${from} 2001:db8::66 6`])
  t.same(told(join(header(client, [{ type: 5, value: payload }]), empty)).source, {
    key: `${from} 203.0.113.7 56324`,
    sender,
    client,
    destination,
    tlvs: [{ type: 5, value: payload }],
    replyHeader: empty,
  })
  for (const none of [local, encodeUnspecV2([]).bytes])
    t.same(read(join(none, payload)), [sender, payload, `${from} ${from}`], 'the sender itself')
  t.same(told(join(header(), payload)).kept, [])
  t.equal(told(join(header(), payload)).answer, undefined)
})

t.test('a wrong header drops that datagram alone', async t => {
  for (const form of ['v2-every', 'v2-first', 'v2-alone'] as const) {
    const { it, read } = receiver(form)
    const whole = header(client, [{ type: 1, value: payload }])
    for (let length = 12; length < whole.length; length++)
      t.equal(read(whole.subarray(0, length)), 'header-invalid', `${form}: ${length} bytes of it`)
    t.equal(read(join(header(client, [], 'tcp'), payload)), 'header-invalid', 'of TCP')
    t.equal(read(header(client, [], 'tcp')), 'header-invalid')
    for (const [at, value] of [
      [12, 0x11],
      [12, 0x22],
      [13, 0x42],
      [13, 0x13],
      [14, 0x11],
    ] as const) {
      const bytes = header()
      bytes[at] = value
      t.equal(read(join(bytes, Buffer.alloc(5000))), 'header-invalid')
    }
    t.match(it.read(header(client, [], 'tcp'), sender, 0), { detail: /STREAM at byte 13, allowed is DGRAM/ })
    t.match(it.read(whole.subarray(0, 20), sender, 0), { detail: /does not end within its 20 bytes/ })
    t.same(Array.isArray(read(header())), true)
  }
})

t.test('v2-every: bare datagrams of a sender that says its port is one client’s', async t => {
  const { it, read, told } = receiver('v2-every')
  const first = told(join(flow(), payload))
  t.match(first, { source: { client, key: from, tlvs: [] }, payload, ended: undefined, kept: [] })
  t.same(first.answer, knownAnswer(nonceOf(1)))
  for (const any of [payload, empty, encodeSpp(other, other), header(other).subarray(0, 11)]) {
    t.same(read(any, 1e7), [client, any, from])
    t.equal(told(any).answer, undefined)
  }
  t.same(read(join(flow(), header(other))), [client, header(other), from], 'a client that writes headers')
  t.same(read(join(header(), payload)), [client, payload, from], 'the same client without FLOW')
  t.equal(told(payload).source, told(payload).source)

  const next = told(join(flow(other, 2), payload))
  t.match(next, { source: { client: other, key: from }, ended: from }, 'another client')
  t.same(next.answer, knownAnswer(nonceOf(2)))
  t.same(read(payload), [other, payload, from])
  t.match(told(flow(other, 3)), { payload: empty, ended: undefined, answer: knownAnswer(nonceOf(3)) })
  t.match(told(flow(other, 3, { isAlone: true })), { payload: undefined, answer: knownAnswer(nonceOf(3)) })

  // The port is several clients' now.
  const plain = told(join(header(), payload))
  t.match(plain, { source: { client, key: `${from} 203.0.113.7 56324` }, ended: from })
  t.equal(read(payload), 'kept')
  t.equal(told(join(header(other), payload)).ended, undefined)

  // What belongs to a flow that has ended is another's if its port is.
  const { source } = told(flow(client, 4))
  told(flow(other, 5))
  it.forget(source)
  t.same(read(payload), [other, payload, from])
  it.forget(told(payload).source)
  t.equal(read(payload), 'kept')
})

t.test('v2-every: a bare datagram of an unknown sender waits for its header', async t => {
  const { it, read, told } = receiver('v2-every')
  t.match(it.read(payload, sender, 0), { kind: 'kept', answer: unknownAnswer })
  t.equal(read(empty, 500), 'kept')
  t.same(told(flow(client, 1, { isAlone: true, ownsKept: true }), 999).kept, [payload, empty])
  t.same(told(flow(client, 1, { isAlone: true, ownsKept: true }), 999).kept, [])
  it.forget(told(payload).source)

  t.equal(read(payload, 2000), 'kept')
  t.same(told(join(flow(other, 2), payload), 2001).kept, [], 'of another flow on its port')
  t.same(told(flow(client, 3, { ownsKept: true }), 2002).kept, [])
  t.equal(it.expire(2002), 1, 'what is given up is told')
  t.equal(it.expire(2002), 0)
  it.forget(told(payload).source)

  t.equal(read(payload, 3000), 'kept')
  t.same(told(flow(client, 3, { ownsKept: true }), 4000).kept, [], 'after a second')
  t.equal(it.expire(4000), 1)
})

t.test('what waits is bounded', async t => {
  const { it, read } = receiver('v2-every')
  const at = (port: number) => ({ address: '10.1.10.1', port })
  for (let i = 0; i < 8; i++) t.equal(read(payload, i), 'kept')
  t.equal(read(payload, 9), 'backlog')
  let kept = 8
  for (let port = 1; port < 10_000; port++) if (read(empty, 10, at(port)) === 'kept') kept++
  t.ok(kept > 1000 && kept <= 2048, `${kept} of no length`)
  t.equal(it.expire(1010), kept)
  let bytes = 0
  for (let port = 1; port < 1000; port++)
    if (read(Buffer.alloc(1400), 2000, at(port)) === 'kept') bytes += 1400
  t.ok(bytes > 200 * 1024 && bytes <= 256 * 1024, `${bytes} bytes`)
  t.equal(read(Buffer.alloc(1400), 2999), 'backlog')
  t.equal(read(payload, 3000), 'kept')
})

t.test('what waits is a copy', async t => {
  const { it, told } = receiver('v2-every')
  const buffer = Buffer.from('payload')
  it.read(buffer, sender, 0)
  buffer.fill(0)
  t.same(told(flow(client, 1, { ownsKept: true })).kept, [payload])
})

t.test('senders that are known are bounded', async t => {
  const { read } = receiver('v2-every')
  const at = (number: number) => ({ address: `10.1.${10 + (number >> 16)}.1`, port: number & 0xffff })
  for (let number = 1; number <= 65_536; number++) read(flow(), 0, at(number))
  t.same(read(payload, 0, at(1)), [client, payload, '10.1.10.1 1'])
  read(flow(), 0, at(65_537))
  t.equal(read(payload, 0, at(1)), 'kept', 'the one that was learnt first goes')
  t.same(read(payload, 0, at(2)), [client, payload, '10.1.10.1 2'])
})

t.test('v2-first: an unknown sender brings a header, a known one does not', async t => {
  const { it, read } = receiver('v2-first')
  t.equal(read(payload), 'header-missing')
  t.same(read(join(header(), payload)), [client, payload, from])
  t.same(read(payload, 9000), [client, payload, from])
  t.same(read(empty, 18_999), [client, empty, from])
  t.equal(it.expire(20_000), 0)
  t.same(read(join(header(), payload), 28_998), [client, payload, from], 'a little too early')
  t.equal(read(payload, 38_998), 'header-missing', 'silent for ten seconds')
  t.same(read(join(header(other), payload), 38_999), [other, payload, from])
  t.equal(read(join(header(), payload), 39_000), 'header-invalid', 'another client')
  t.equal(read(payload, 39_001), 'header-missing', 'whose it is, nobody knows')
  t.same(read(join(local, payload), 39_002), [sender, payload, from])
  t.same(read(payload, 39_003), [sender, payload, from])
  it.expire(60_000)
  t.equal(read(payload, 39_003), 'header-missing', 'forgotten')
})

t.test('v2-first: the end of a flow is not that of its sender', async t => {
  const { it, read, told } = receiver('v2-first')
  it.forget(told(join(header(), payload)).source)
  t.same(read(payload, 1), [client, payload, from])
})

t.test('v2-alone: a datagram that is nothing but a header', async t => {
  const { it, read } = receiver('v2-alone')
  t.equal(read(payload), 'header-missing')
  t.same(read(header()), [client, undefined, from])
  t.same(read(payload, 29_999), [client, payload, from])
  t.same(read(empty, 59_998), [client, empty, from])
  t.same(read(header(other), 59_999), [other, undefined, from], 'another client')
  t.same(read(payload, 60_000), [other, payload, from])
  t.equal(read(join(header(), payload), 60_001), 'header-invalid')
  t.match(it.read(join(header(), payload), sender, 60_001), {
    detail: /^7 bytes after .*, allowed are none$/,
  })
  t.same(read(local, 60_002), [sender, undefined, from])
  t.equal(read(payload, 90_002), 'header-missing', 'silent for 30 seconds')
})

t.test('spp: a header before every datagram, and every reply', async t => {
  const { it, read, told } = receiver('spp')
  const spp = encodeSpp(client, destination)
  const key = `${from} 203.0.113.7 56324`
  for (const any of [payload, empty, spp, header(other)]) t.same(read(join(spp, any)), [client, any, key])
  t.same(read(encodeSpp(other, destination)), [other, empty, `${from} 2001:db8::66 6`])
  const { source } = told(join(spp, payload))
  t.same(source.destination, destination)
  t.same(it.wrapReply(payload, source, 45), spp)
  t.equal(it.wrapReply(payload, source, 44), 'too-big')
  for (const any of [payload, empty, header(), spp.subarray(0, 1)]) t.equal(read(any), 'header-missing')
  for (let length = 2; length < 38; length++) t.equal(read(spp.subarray(0, length)), 'header-invalid')
})

t.test('replies say KNOWN until the sender shows that it has got it', async t => {
  const { it, read, told } = receiver('v2-every')
  const { source } = told(join(flow(), payload))
  const known = knownAnswer(nonceOf(1))
  t.same(it.wrapReply(payload, source, 1392), known)
  t.same(it.wrapReply(Buffer.alloc(1392), source, 1392), empty, 'a full one has no room for it')
  t.equal(it.wrapReply(Buffer.alloc(1393), source, 1392), 'too-big')
  told(join(flow(), payload))
  t.same(it.wrapReply(payload, source, 1392), known)
  read(payload)
  t.same(it.wrapReply(payload, source, 1392), empty)
  for (const reply of [unknownAnswer, header(), known]) {
    t.same(it.wrapReply(reply, source, 1392), known, 'one that would be taken for an answer')
    t.equal(it.wrapReply(reply, source, known.length + reply.length - 1), 'too-big')
  }
  told(join(flow(client, 2), payload))
  t.same(it.wrapReply(payload, source, 1392), knownAnswer(nonceOf(2)), 'a sender that was restarted')

  const plain = receiver('v2-every')
  const one = plain.told(join(header(), payload)).source
  for (const reply of [payload, unknownAnswer, header()]) t.same(plain.it.wrapReply(reply, one, 1392), empty)
  t.equal(plain.it.wrapReply(Buffer.alloc(1393), one, 1392), 'too-big')
})
