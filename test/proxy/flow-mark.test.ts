import t from 'tap'
import {
  flowOf,
  flowTlv,
  knownAnswer,
  readAnswer,
  unknownAnswer,
  withoutFlow,
} from '../../src/proxy/flow-mark.ts'
import { encodeProxyV2, parseProxyHeader } from '../../src/proxy/proxy-header.ts'

const signature = '0d0a0d0a000d0a515549540a'
const hex = (...parts: string[]) => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')
const nonce = hex('0123456789abcdef')
const source = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 53 }

t.test('FLOW by hand', async t => {
  for (const [flags, isAlone, ownsKept] of [
    [0, false, false],
    [1, true, false],
    [2, false, true],
    [3, true, true],
  ] as const) {
    const tlv = flowTlv({ nonce, isAlone, ownsKept })
    t.same(tlv, { type: 0xe8, value: Buffer.concat([Buffer.of(flags), nonce]) })
    t.same(flowOf([tlv]), { nonce, isAlone, ownsKept })
    const { bytes } = encodeProxyV2(source, destination, [tlv], 107, 'udp')
    t.same(
      bytes,
      hex(signature, '21 12 0018 cb007107 c6336414 dc04 0035 e8 0009', `0${flags}`, nonce.toString('hex')),
    )
    t.same(flowOf(parseProxyHeader(bytes, 'v2')!.tlvs), { nonce, isAlone, ownsKept })
  }
  const later = { type: 0xe8, value: Buffer.concat([Buffer.of(0xfc), nonce]) }
  t.same(flowOf([later]), { nonce, isAlone: false, ownsKept: false }, 'flags of a later version')
  for (const length of [0, 1, 8, 10])
    t.equal(flowOf([{ type: 0xe8, value: Buffer.alloc(length) }]), undefined, `${length} bytes`)
  t.equal(flowOf([]), undefined)
})

t.test('FLOW goes no further', async t => {
  const other = { type: 5, value: nonce }
  const flow = flowTlv({ nonce, isAlone: false, ownsKept: false })
  t.same(withoutFlow([flow, other, flow]), [other])
  const without = [other]
  t.equal(withoutFlow(without), without)
})

t.test('answers by hand', async t => {
  t.same(knownAnswer(nonce), hex(signature, '20 00 000b e9 0008', nonce.toString('hex')))
  t.same(unknownAnswer, hex(signature, '20 00 0003 ea 0000'))
  for (const answer of [knownAnswer(nonce), unknownAnswer])
    t.match(parseProxyHeader(answer, 'v2'), { command: 'LOCAL', length: answer.length })
  t.same(readAnswer(knownAnswer(nonce)), { known: nonce, reply: Buffer.alloc(0) })
  const reply = Buffer.concat([unknownAnswer, Buffer.from('!')])
  t.same(readAnswer(Buffer.concat([knownAnswer(nonce), reply])), { known: nonce, reply })
  t.equal(readAnswer(unknownAnswer), 'unknown')
})

t.test('a reply is no answer', async t => {
  for (const answer of [knownAnswer(nonce), unknownAnswer]) {
    for (let length = 0; length < answer.length; length++)
      t.equal(readAnswer(answer.subarray(0, length)), undefined)
    for (let at = 0; at < 19; at++) {
      const bytes = Buffer.from(answer)
      bytes[at]! ^= 0x40
      t.equal(readAnswer(bytes), undefined, `byte ${at}`)
    }
  }
  t.equal(readAnswer(Buffer.concat([unknownAnswer, Buffer.of(0)])), undefined)
  t.equal(readAnswer(encodeProxyV2(undefined, undefined, []).bytes), undefined, 'bare LOCAL')
})
