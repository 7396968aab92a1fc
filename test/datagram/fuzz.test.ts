import fc from 'fast-check'
import t from 'tap'
import type { UdpForm } from '../../src/config/config.ts'
import { FarEnd } from '../../src/datagram/far-end.ts'
import { FormReceiver } from '../../src/datagram/receiver.ts'
import { FormSender } from '../../src/datagram/sender.ts'
import { knownAnswer, readAnswer, unknownAnswer } from '../../src/proxy/flow-mark.ts'
import { encodeProxyV2 } from '../../src/proxy/proxy-header.ts'
import { encodeSpp } from '../../src/proxy/spp.ts'
import { NaiveReceiver, readNaive, type Seen } from './naive.ts'

const forms: readonly UdpForm[] = ['v2-every', 'v2-first', 'v2-alone', 'spp']
const numRuns = process.env.WG_PUNCHHOLE_TEST === 'full' ? 20_000 : 2000
const nonce = Buffer.from('12345678')

const bytes = (maxLength: number) => fc.uint8Array({ maxLength }).map(array => Buffer.from(array))
const address = fc.constantFrom('203.0.113.7', '192.0.2.66', '2001:db8::7', '::', '::ffff:1:2', '::1.2.3.4')
const end = fc.record({ address, port: fc.constantFrom(0, 53, 40_000) })
const mark = fc
  .tuple(fc.nat(3), fc.constantFrom(1, 2))
  .map(([flags, of]) => ({ type: 0xe8, value: Buffer.concat([Buffer.of(flags), Buffer.alloc(8, of)]) }))
const tlv = fc.oneof(
  mark,
  fc.record({ type: fc.constantFrom(2, 3, 4, 5, 0xe8, 0xe9), value: bytes(12) }),
  fc.constant({ type: 3, value: Buffer.alloc(4) }),
)
const header = fc
  .tuple(end, end, fc.array(tlv, { maxLength: 3 }), fc.constantFrom('udp', 'udp', 'udp', 'tcp'))
  .map(
    ([client, destination, tlvs, transport]) =>
      encodeProxyV2(client, destination, tlvs, 1536, transport).bytes,
  )
const begin = fc.oneof(
  { weight: 5, arbitrary: header },
  fc.constant(encodeProxyV2(undefined, undefined, []).bytes),
  fc.constant(knownAnswer(nonce)),
  fc.constant(unknownAnswer),
  fc.tuple(end, end).map(([client, proxy]) => encodeSpp(client, proxy)),
  fc.constant(Buffer.alloc(0)),
)
/** Headers of every kind with a payload, or without; some with bytes changed, some cut. */
const datagram = fc
  .tuple(
    begin,
    fc.oneof(fc.constant(Buffer.alloc(0)), bytes(300), begin),
    fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 2 }),
    fc.oneof({ weight: 3, arbitrary: fc.constant(Number.POSITIVE_INFINITY) }, fc.nat(120)),
    fc.boolean(),
  )
  .map(([first, rest, changes, cut, isChanged]) => {
    const whole = Buffer.concat([first, rest])
    if (isChanged) for (const [at, value] of changes) if (at < whole.length) whole[at] = value
    return whole.subarray(0, cut)
  })
const arrival = fc.record({
  bytes: datagram,
  sender: fc.constantFrom(
    { address: '10.1.10.1', port: 50_001 },
    { address: '10.1.10.1', port: 50_002 },
    { address: 'fd00::1', port: 50_001 },
  ),
  pause: fc.constantFrom(0, 0, 10, 999, 1000, 9999, 10_000, 30_000),
})

function seen(reading: ReturnType<FormReceiver['read']>): Seen | 'backlog' {
  if (reading.kind === 'kept') return 'kept'
  if (reading.kind === 'dropped') return reading.reason
  const { source, payload, kept, answer } = reading
  return {
    client: `${source.client.address} ${source.client.port}`,
    payload: payload?.toString('hex'),
    kept: kept.map(one => one.toString('hex')),
    known: answer?.toString('hex', 19),
  }
}

t.test('datagrams are read as a naive receiver reads them', async t => {
  const count = { told: 0, kept: 0, released: 0, dropped: 0, answered: 0 }
  for (const form of forms)
    fc.assert(
      fc.property(fc.array(arrival, { minLength: 1, maxLength: 8 }), arrivals => {
        const [receiver, naive] = [new FormReceiver(form, 10_000), new NaiveReceiver(form)]
        let now = 0
        for (const { bytes, sender, pause } of arrivals) {
          now += pause
          const before = Buffer.from(bytes)
          const got = seen(receiver.read(bytes, sender, now))
          const wanted = naive.read(bytes, sender, now)
          if (JSON.stringify(got) !== JSON.stringify(wanted))
            throw new Error(`${form}: ${JSON.stringify(got)}, a naive one has ${JSON.stringify(wanted)}`)
          if (!before.equals(bytes)) throw new Error('the datagram was written to')
          if (typeof got === 'string') count[got === 'kept' ? 'kept' : 'dropped']++
          else {
            count.told++
            count.released += got.kept.length
            if (got.known !== undefined) count.answered++
          }
        }
      }),
      { numRuns, seed: 1 },
    )
  for (const [what, many] of Object.entries(count)) t.ok(many > 10, `${what}: ${many}`)
})

t.test('whatever comes from a target is a reply, an answer or a drop', async t => {
  const target = {
    client: { address: '203.0.113.7', port: 40_000 },
    destination: { address: '192.0.2.66', port: 53 },
    tlvs: [],
    limit: 107,
    mtuPayload: 1392,
    proxyFirst: 10_000,
  }
  const count = { reply: 0, answer: 0, 'reply-header': 0 }
  for (const form of [false, ...forms] as const)
    fc.assert(
      fc.property(fc.array(datagram, { minLength: 1, maxLength: 4 }), replies => {
        const marked = { ...target, form, nonce: form === 'v2-every' ? nonce : undefined }
        const sender = new FormSender(marked, new FarEnd())
        for (const bytes of replies) {
          const reply = sender.reply(bytes, 0)
          const answer = form === 'v2-every' ? readAnswer(bytes) : undefined
          if (typeof reply === 'string') count[reply]++
          else {
            count.reply++
            const at = form === 'spp' ? 38 : answer === undefined ? 0 : 27
            if (!bytes.subarray(at).equals(reply)) throw new Error('the reply was changed')
            if (answer === 'unknown') throw new Error('an answer was passed on')
          }
        }
      }),
      { numRuns, seed: 1 },
    )
  for (const [what, many] of Object.entries(count)) t.ok(many > 10, `${what}: ${many}`)
})

t.test('whatever a client sends is read as its payload', async t => {
  const destination = { address: '192.0.2.66', port: 53 }
  const port = { address: '10.1.10.1', port: 50_001 }
  let told = 0
  for (const form of forms)
    fc.assert(
      fc.property(
        end,
        fc.array(datagram, { minLength: 1, maxLength: 6 }),
        fc.boolean(),
        (client, payloads, has) => {
          const receiver = new FormReceiver(form, 10_000)
          const marked = form === 'v2-every' && has
          const sender = new FormSender(
            {
              form,
              client,
              destination,
              tlvs: [],
              limit: 107,
              mtuPayload: 1392,
              proxyFirst: 10_000,
              nonce: marked ? nonce : undefined,
            },
            new FarEnd(),
          )
          const arrive = (bytes: Buffer) => {
            const reading = receiver.read(bytes, port, 0)
            if (reading.kind !== 'told') throw new Error(`${form}: ${JSON.stringify(reading)}`)
            const { source, payload, answer } = reading
            // Of the addresses that have two texts, the header tells the canonical one.
            const [first, second] = [source.client, client].map(one => encodeSpp(one, one).toString('hex'))
            if (first !== second) throw new Error(`${form}: of ${source.client.address}`)
            if (answer !== undefined) sender.reply(answer, 0)
            return payload
          }
          for (const payload of payloads) {
            const header = sender.wrap(payload, 0)
            for (const datagram of sender.take()) arrive(datagram)
            if (header === 'header-invalid') {
              if (readNaive(payload) === 'bare') throw new Error('a payload was refused')
              continue
            }
            if (typeof header === 'string') throw new Error(header)
            told++
            if (arrive(Buffer.concat([header, payload]))?.equals(payload) !== true)
              throw new Error('the payload was changed')
          }
        },
      ),
      { numRuns, seed: 1 },
    )
  t.ok(told > 1000, `${told} payloads`)
})
