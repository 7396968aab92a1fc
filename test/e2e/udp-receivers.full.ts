import { readFileSync } from 'node:fs'
import t from 'tap'
import { Lab } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'
import { header, headerOfLength, question, replyOf, tlv } from './dns.ts'
import { talk } from './udp-client.ts'
import { type Receiver, startReceivers } from './udp-receivers.ts'

/** What docs/udp.md says of other people's receivers, tried on them with headers made by hand. */
const lab = await Lab.create()
t.teardown(() => lab.close())
const host = await lab.host('receivers')
const receivers = await startReceivers(lab, host)
const client = { 4: '203.0.113.7', 6: '2001:db8:1::7' } as const
let ids = 100

/**
 * Whom a receiver saw ask, each time that it answered: what `wrap` makes of a question is sent to it from one port.
 * `rcode N` where it answered that.
 */
async function seen(
  receiver: Receiver,
  wrap: (question: () => Buffer) => Buffer[],
  family: 4 | 6 = 4,
  ms = 1500,
): Promise<string[]> {
  const asked: number[] = []
  const payloads = wrap(() => {
    const id = ids++
    asked.push(id)
    const { name, type } = receiver.asked(id, family)
    return question(id, name, type)
  }).map(payload => payload.toString('hex'))
  const { replies } = await talk(host, {
    host: '127.0.0.1',
    port: receiver.port,
    payloads,
    pause: 100,
    replies: asked.length,
    ms,
  })
  return Promise.all(
    replies.map(async hex => {
      const reply = Buffer.from(hex, 'hex')
      const id = asked.find(id => replyOf(id, reply) !== undefined)
      const rcode = reply[3]! & 15
      return id === undefined || rcode !== 0 ? `rcode ${rcode}` : receiver.saw(id, family, reply)
    }),
  )
}

const nameOf = ({ name, suite }: Receiver) => `${name} (${suite})`
const direct = (prefix: Buffer) => (question: () => Buffer) => [Buffer.concat([prefix, question()])]

for (const receiver of receivers)
  await retry(async () => {
    if ((await seen(receiver, direct(header(4)), 4, 300)).length === 0)
      throw new Error(`${receiver.name} does not answer\n${lab.output}`)
  }, 20_000)

const flow = tlv(0xe8, Buffer.alloc(8, 7))

t.test('every receiver takes a header before every datagram, and what our own ends put into it', async t => {
  await Promise.all(
    receivers.map(async receiver => {
      for (const family of [4, 6] as const)
        for (const [what, tlvs] of Object.entries({
          'the addresses': Buffer.alloc(0),
          FLOW: flow,
          'UNIQUE_ID and FLOW': Buffer.concat([tlv(5, Buffer.alloc(16, 7)), flow]),
        }))
          t.same(
            await seen(receiver, direct(header(family, { tlvs })), family),
            [client[family]],
            `${nameOf(receiver)}, IPv${family}, ${what}`,
          )
    }),
  )
})

const suites = (name: string) => [`${name} (bookworm)`, `${name} (trixie)`]
const unbound = suites('unbound')
const dnsdist = suites('dnsdist')
const recursor = suites('PowerDNS Recursor')
const authoritative = suites('PowerDNS Authoritative Server')
const knot = suites('Knot DNS')
const knotResolver = suites('Knot Resolver')
const nsd = ['NSD (trixie)']
const bind = ['BIND (trixie)']
const coreDns = ['CoreDNS (go)']
const tracking = ['CoreDNS, `udp_session_tracking` (go)']

/** Whom each saw, for what it was sent; who is not named here has not answered. */
const said: Record<string, [wrap: (question: () => Buffer) => Buffer[], said: Record<string, string[]>]> = {
  'no header': [
    question => [question()],
    { '127.0.0.1': [...knot, ...knotResolver, ...coreDns, ...tracking] },
  ],
  'a header of TCP': [
    direct(header(4, { kind: 0x11 })),
    {
      [client[4]]: [...unbound, ...dnsdist, ...recursor, ...authoritative, ...knotResolver, ...nsd, ...bind],
    },
  ],
  LOCAL: [
    direct(header(undefined, { command: 0x20 })),
    {
      '127.0.0.1': [...unbound, ...dnsdist, ...knotResolver, ...bind],
      '0.0.0.0': authoritative,
      // By allow-query: it saw who sent the header.
      'rcode 5': nsd,
    },
  ],
  'LOCAL with addresses': [
    direct(header(4, { command: 0x20 })),
    { '127.0.0.1': [...unbound, ...knotResolver, ...coreDns, ...tracking], 'rcode 5': nsd },
  ],
  'PROXY of an unknown family': [
    direct(header(undefined)),
    { '127.0.0.1': [...unbound, ...bind], 'rcode 5': nsd },
  ],
  'a header alone, then none': [
    question => [header(4), question()],
    { '127.0.0.1': [...knot, ...knotResolver, ...coreDns], [client[4]]: tracking },
  ],
  'a header with the first datagram, then none': [
    question => [Buffer.concat([header(4), question()]), question()],
    {
      [client[4]]: [...unbound, ...dnsdist, ...recursor, ...authoritative, ...nsd, ...bind],
      [`${client[4]}, 127.0.0.1`]: [...knot, ...knotResolver, ...coreDns],
      [`${client[4]}, ${client[4]}`]: tracking,
    },
  ],
  'two headers': [
    direct(Buffer.concat([header(4), header(4)])),
    { 'rcode 4': [...unbound, ...nsd, ...coreDns, ...tracking], 'rcode 1': bind },
  ],
  'a header in two datagrams': [
    question => {
      const whole = Buffer.concat([header(4), question()])
      return [whole.subarray(0, 20), whole.subarray(20)]
    },
    { 'rcode 1': [...coreDns, ...tracking] },
  ],
}

t.test('what else each takes, and whom it then sees', async t => {
  await Promise.all(
    Object.entries(said).map(async ([what, [wrap, expected]]) => {
      const seenBy = await Promise.all(
        receivers.map(
          async receiver =>
            [nameOf(receiver), (await seen(receiver, wrap)).sort().reverse().join(', ')] as const,
        ),
      )
      for (const [name, who] of seenBy) {
        const [wanted = ''] = Object.entries(expected).find(([, names]) => names.includes(name)) ?? []
        t.equal(who, wanted, `${name}: ${what}`)
      }
    }),
  )
})

const page = readFileSync(new URL('../../docs/udp.md', import.meta.url), 'utf8')

t.test('the longest header that each takes', async t => {
  await Promise.all(
    receivers.map(async receiver => {
      const row = page.split('\n').find(line => line.startsWith(`| ${receiver.name} |`))
      const told = row?.split('|')[4]?.trim()
      // What CoreDNS reads has 512 bytes, with the question.
      const room = receiver.suite === 'go' ? question(1, receiver.asked(100, 4).name, 'TXT').length : 0
      const longest = Number(/[\d,]+/.exec(told ?? '')?.[0].replace(',', '')) - room
      t.same(
        await seen(receiver, direct(headerOfLength(longest))),
        [client[4]],
        `${nameOf(receiver)} takes ${told}`,
      )
      if (told?.startsWith('≥')) return
      const longer = await seen(receiver, direct(headerOfLength(longest + 1)))
      t.not(longer[0], client[4], `${nameOf(receiver)}: a byte more`)
    }),
  )
})
