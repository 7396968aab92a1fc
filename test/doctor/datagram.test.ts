import { createSocket, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { type Dated, endStatus } from '../../src/admin/status.ts'
import type { UdpForwardStatus } from '../../src/connection/status.ts'
import { answerDatagramTrace } from '../../src/datagram/trace.ts'
import { forwardFindings } from '../../src/doctor/forward.ts'
import { sendMarkedDatagram } from '../../src/doctor/marked-datagram.ts'
import { traceFindings } from '../../src/doctor/trace.ts'
import { parseProxyHeader } from '../../src/proxy/proxy-header.ts'
import { isTrace } from '../../src/proxy/trace-mark.ts'
import { bare, dns, parts } from '../admin/sample.ts'

/** What the doctor says of UDP forwards, and what it sends for that. */

interface Receiver {
  readonly host: string
  readonly port: number
  readonly got: readonly Buffer[]
}

/** A socket on loopback that answers each datagram like this, or not at all. */
async function receiver(
  t: Test,
  reply: (bytes: Buffer, sender: RemoteInfo, count: number) => Buffer | undefined,
  host = '127.0.0.1',
): Promise<Receiver> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4')
  const got: Buffer[] = []
  socket.on('message', (bytes, sender) => {
    got.push(bytes)
    const answer = reply(bytes, sender, got.length)
    if (answer !== undefined) socket.send(answer, sender.port, sender.address)
  })
  socket.bind(0, host)
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  return { host, port: socket.address().port, got }
}

/** Answers as the far end does, once it has found the mark. */
function farEnd(bytes: Buffer, { address, port }: RemoteInfo): Buffer | undefined {
  const header = parseProxyHeader(bytes, 'v2')
  if (header === undefined || !isTrace(header.tlvs)) return undefined
  return answerDatagramTrace({
    end: { version: '0.2.0', mtu: 1400 },
    forward: 'dns',
    sender: { address, port },
    client: header.source!,
    destination: header.destination!,
    tlvs: header.tlvs,
    sendProxy: 'v2-every',
    target: '10.96.0.10:53',
  })
}

const silent = () => undefined

function forwardTo({ host, port }: { host: string; port: number }, changes: object = {}) {
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  return { ...dns, targets: [{ ...dns.targets[0]!, address, ...changes }] }
}

const statusOf = (forward: UdpForwardStatus) => endStatus({ ...bare, forwards: [forward] })

t.test('a marked datagram is a header of v2 for UDP and nothing more; an end of ours answers', async t => {
  for (const host of ['127.0.0.1', '::1']) {
    const far = await receiver(t, farEnd, host)
    const client = { address: host === '::1' ? '2001:db8::7' : '203.0.113.7', port: 5353 }
    const marked = await sendMarkedDatagram({ address: host, port: far.port }, client)
    const text = host === '::1' ? '[2001:db8::7]:5353' : '203.0.113.7:5353'
    t.match(marked, {
      sent: 1,
      answer: { version: '0.2.0', mtu: 1400, client: text, target: '10.96.0.10:53', id: /^[0-9a-f]{32}$/ },
    })
    t.equal(far.got.length, 1)
    t.equal(far.got[0]![13], host === '::1' ? 0x22 : 0x12)
    t.equal(parseProxyHeader(far.got[0]!, 'v2')?.length, far.got[0]!.length, 'nothing behind it')
  }
})

t.test('one that is lost is sent again; what is no answer is not taken for one', async t => {
  const lossy = await receiver(t, (bytes, sender, count) =>
    count === 1 ? Buffer.from('{"forward":1}') : farEnd(bytes, sender),
  )
  const marked = await sendMarkedDatagram({ address: lossy.host, port: lossy.port })
  t.match(marked, { sent: 2, answer: { forward: 'dns', from: /^127\.0\.0\.1:\d+$/ } })
  t.equal((marked as { answer: { from: string; client: string } }).answer.client.split(':')[0], '127.0.0.1')
})

t.test('a trace: three hops, of which the doctor tells what it can know', async t => {
  const far = await receiver(t, farEnd)
  const [one, two, three, ...more] = await traceFindings(statusOf(forwardTo(far)), '', 'dns')
  t.same(more, [])
  t.match(one, { step: 'hop 1: client → dns', state: 'unknown', found: /0\.0\.0\.0:53\/udp.*not tried/ })
  t.match(two, {
    step: `hop 2: dns → 127.0.0.1:${far.port}`,
    state: 'ok',
    found: /^seen from 127.0.0.1:\d+ in [\d.]+ ms, PROXY v2 \(v2-every\) tells 127.*MTU - here, 1400 there/,
  })
  const alone = await traceFindings(statusOf({ ...forwardTo(far), sendProxy: 'v2-alone' }), '', 'dns')
  t.match(alone[1], { state: 'ok', found: /PROXY v2 \(v2-alone\) tells/ })
  t.match(three, {
    step: 'hop 3: dns → 10.96.0.10:53',
    state: 'unknown',
    found: /nobody answers unless asked/,
  })
})

t.test('nobody answers, or nothing listens', async t => {
  const service = await receiver(t, silent)
  const closed = createSocket('udp4').bind(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address()
  closed.close()
  await once(closed, 'close')
  const [unanswered, refused] = await Promise.all([
    traceFindings(statusOf(forwardTo(service)), '', undefined),
    traceFindings(statusOf(forwardTo({ host: '127.0.0.1', port })), '', undefined),
  ])
  t.match(unanswered[1], { state: 'unknown', found: /sent three times, is not answered: it is a service/ })
  t.equal(service.got.length, 3)
  t.match(refused[1], { state: 'failed', found: /ECONNREFUSED/, fix: /Start what listens there/ })
  t.equal(refused.length, 2)
})

t.test('nothing is sent where it could hurt, or would say nothing', async t => {
  const any = await receiver(t, farEnd)
  for (const sendProxy of [false, 'v2-first', 'spp'] as const) {
    const findings = await traceFindings(statusOf({ ...forwardTo(any), sendProxy }), '', 'dns')
    t.match(findings[1], { state: 'unknown', found: /not tried$/ }, `${sendProxy}`)
    await forwardFindings(statusOf({ ...forwardTo(any), sendProxy }))
  }
  await forwardFindings(statusOf(forwardTo(any)))
  const own = await receiver(t, farEnd)
  await sendMarkedDatagram({ address: own.host, port: own.port })
  t.equal(any.got.length, 0)
})

t.test('what is said of a target without a word to it', async t => {
  const target = async (changes: object) => {
    const findings = await forwardFindings(statusOf(forwardTo({ host: '127.0.0.1', port: 53 }, changes)))
    return findings.find(({ step }) => step === 'target of dns')
  }
  t.match(await target({ state: 'up' }), { state: 'ok', found: /leave from 127\.0\.0\.1; it has answered/ })
  t.match(await target({ state: 'unknown' }), {
    state: 'unknown',
    found: /udp: nobody answers unless asked/,
  })
  t.match(await target({ state: 'down', error: 'ECONNREFUSED' }), {
    state: 'failed',
    found: /has taken no datagram for .*: ECONNREFUSED/,
    fix: /Start the service/,
  })
  // A route that the kernel refuses, on every host: to the broadcast address.
  t.match(await target({ address: '255.255.255.255:53', state: 'unknown' }), {
    state: 'failed',
    found: /^nothing can be sent to 255\.255\.255\.255:53: EACCES/,
    fix: /ip route get 255\.255\.255\.255/,
  })
})

t.test('a trace that comes no further than this host', async t => {
  const hop = async (changes: object) => {
    const forward = forwardTo({ host: '127.0.0.1', port: 53 }, changes)
    const findings = await traceFindings(statusOf(forward), '', 'dns')
    t.equal(findings.length, 2)
    return findings[1]
  }
  t.match(await hop({ behind: 'UGVlcktl' }), {
    state: 'unknown',
    found: /^behind peer UGVlcktl, which is not/,
  })
  t.match(await hop({ address: 'service.invalid:53' }), {
    state: 'failed',
    found: 'service.invalid has no address',
    fix: /Correct the name/,
  })
  t.match(await hop({ address: '255.255.255.255:53' }), {
    state: 'failed',
    found: '255.255.255.255:53 cannot be reached: EACCES',
    fix: /the peer and the target/,
  })
})

t.test('each reason of a drop is told with what to change, and evicted flows', async t => {
  const one: Dated<UdpForwardStatus>['datagrams'] = {
    ...dns.datagrams,
    dropped: Object.fromEntries(
      Object.keys(dns.datagrams.dropped).map((reason, i) => [reason, i + 1]),
    ) as UdpForwardStatus['datagrams']['dropped'],
  }
  const told = async (datagrams: UdpForwardStatus['datagrams']) =>
    (await forwardFindings(endStatus(parts({ forwards: [{ ...dns, datagrams }] })))).filter(({ step }) =>
      /^(datagrams|flows) of dns$/.test(step),
    )
  const findings = await told(one)
  t.equal(findings.length, Object.keys(one.dropped).length + 1)
  for (const { state, fix } of findings) t.match({ state, fix }, { state: 'warning', fix: /\w/ })
  t.match(findings[0], { found: /^1 were longer than fits.*\(too-big\), in the/ })
  t.match(findings.at(-1), { step: 'flows of dns', found: /^2 were ended/, fix: /forwards\.dns\.max/ })
  const none = Object.fromEntries(Object.keys(one.dropped).map(reason => [reason, 0]))
  t.same(await told({ ...one, dropped: none as typeof one.dropped, evicted: 0 }), [])
})
