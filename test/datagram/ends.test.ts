import t, { type Test } from 'tap'
import type { UdpForwardConfig } from '../../src/config/config.ts'
import { parseProxyHeader } from '../../src/proxy/proxy-header.ts'
import { parseSpp, sppLength } from '../../src/proxy/spp.ts'
import { at, eventually, forwarding, to } from '../forward/bench.ts'
import { config, echo, Party } from './bench.ts'

/** Two of our own ends on loopback: the client's address is told once, and then the datagrams are bare. */

const peers = [{ publicKey: 'far', allowedIps: [{ address: '127.0.0.0', bits: 8, family: 4 }] }] as const

const near = (port: number, changes: Partial<UdpForwardConfig> = {}) =>
  config(port, { name: 'near', sendProxy: 'v2-every', ...changes })
const far = (port: number, changes: Partial<UdpForwardConfig> = {}) =>
  config(port, { name: 'far', acceptProxy: 'v2-every', ...changes })

/** The far end tells its target with each datagram whom it is of, so that the test sees it. */
async function ends(t: Test) {
  const target = await Party.bound(t)
  const farEnd = await forwarding(t, [far(target.port, { sendProxy: 'spp' })])
  const nearEnd = await forwarding(t, [near(farEnd.port)], { peers })
  return { target, farEnd, nearEnd, port: nearEnd.port }
}

const told = (bytes: Buffer) => ({
  client: parseSpp(bytes)?.client,
  payload: bytes.subarray(sppLength).toString(),
})

t.test('the target behind both is told the client, and the reply comes back', async t => {
  const { target, port, nearEnd, farEnd } = await ends(t)
  const clients = await Promise.all(Array.from({ length: 20 }, () => Party.bound(t)))
  for (let round = 0; round < 5; round++)
    for (const [i, client] of clients.entries()) {
      client.send(`${i} ${round}`, port)
      const { bytes, from } = await target.next()
      t.same(told(bytes), { client: { address: '127.0.0.1', port: client.port }, payload: `${i} ${round}` })
      target.send(Buffer.concat([bytes.subarray(0, sppLength), Buffer.from(`re ${i} ${round}`)]), from.port)
      t.equal((await client.next()).bytes.toString(), `re ${i} ${round}`)
    }
  for (const end of [nearEnd, farEnd])
    t.match(end.status(), { active: 20, datagrams: { received: 100, sent: 100 } })
})

t.test('once the far end knows the flow nothing stands before a datagram', async t => {
  const between = await Party.bound(t)
  const { port } = await forwarding(t, [near(between.port)], { peers })
  const farEnd = await ends(t)
  const client = await Party.bound(t)
  client.send('first', port)
  const first = await between.next()
  const header = parseProxyHeader(first.bytes, 'v2')
  t.match(header, { source: { port: client.port }, transport: 'udp' })
  // What a far end of ours answers to that very datagram.
  between.send(first.bytes, farEnd.farEnd.port)
  const answer = await between.next()
  between.send(answer.bytes, first.from.port)
  await eventually(() => between.received.length === 0)
  await new Promise(resolve => setTimeout(resolve, 50))
  client.send('second', port)
  t.equal((await between.next()).bytes.toString(), 'second')
  t.same(client.received, [], 'the answer is not for the client')
})

t.test('the far end is another one than before: nothing is lost for want of a header', async t => {
  const target = await echo(t)
  const first = await forwarding(t, [far(target.port)])
  const { port, status } = await forwarding(t, [near(first.port)], { peers })
  const client = await Party.bound(t)
  for (const text of ['a', 'b', 'c']) t.match(await client.ask(text, port), RegExp(`${text}$`))
  await first.forwarder.drain(AbortSignal.abort())
  const second = await forwarding(t, [far(target.port, { listen: at('127.0.0.1', first.port) })])
  for (const text of ['d', 'e', 'f']) t.match(await client.ask(text, port), RegExp(`${text}$`))
  t.match(second.status(), { accepted: 1, datagrams: { received: 3, dropped: { 'no-flow': 0 } } })
  t.match(status(), { active: 1, datagrams: { received: 6, sent: 6 } })
})

t.test('a client cannot write a header himself', async t => {
  const { target, port } = await ends(t)
  const [client, other] = [await Party.bound(t), await Party.bound(t)]
  const source = { address: '203.0.113.66', port: 1 }
  const { encodeProxyV2 } = await import('../../src/proxy/proxy-header.ts')
  const forged = Buffer.concat([encodeProxyV2(source, source, [], 107, 'udp').bytes, Buffer.from('mine')])
  for (let i = 0; i < 3; i++)
    for (const [who, bytes] of [
      [client, forged],
      [other, Buffer.from('plain')],
    ] as const) {
      who.send(bytes, port)
      const { bytes: seen } = await target.next()
      t.same(parseSpp(seen)?.client, { address: '127.0.0.1', port: who.port })
      t.same(seen.subarray(sppLength), bytes)
    }
})

t.test('from somebody who is not trusted nothing is taken', async t => {
  const target = await echo(t)
  const trustedProxies = [{ address: '127.0.0.2', bits: 32, family: 4 }] as const
  const { port, status } = await forwarding(t, [far(target.port, { trustedProxies })])
  const stranger = await Party.bound(t)
  stranger.send('x', port)
  await eventually(() => status().datagrams!.dropped['untrusted-source'] === 1)
  t.match(status(), { active: 0 })
})

t.test('a wrong header costs its datagram alone', async t => {
  const target = await Party.bound(t)
  const { port, status } = await forwarding(t, [far(target.port)])
  const proxy = await Party.bound(t)
  const { encodeProxyV2 } = await import('../../src/proxy/proxy-header.ts')
  const ends = [
    { address: '192.0.2.1', port: 1000 },
    { address: '192.0.2.2', port: 53 },
  ] as const
  const good = encodeProxyV2(...ends, [], 107, 'udp').bytes
  const stream = encodeProxyV2(...ends, []).bytes
  proxy.send(stream, port)
  proxy.send(good.subarray(0, 20), port)
  proxy.send(Buffer.concat([good, good]), port)
  t.same((await target.next()).bytes, good, 'only one is taken off')
  t.match(status(), { active: 1, datagrams: { dropped: { 'header-invalid': 2 } } })
})

t.test('several clients behind one port of a proxy are told apart', async t => {
  const target = await Party.bound(t)
  const { port } = await forwarding(t, [far(target.port, { upstream: to(at('127.0.0.1', target.port)) })])
  const proxy = await Party.bound(t)
  const { encodeProxyV2 } = await import('../../src/proxy/proxy-header.ts')
  const send = (client: number, text: string) => {
    const source = { address: `192.0.2.${client}`, port: 1000 }
    const { bytes } = encodeProxyV2(source, { address: '192.0.2.200', port: 53 }, [], 107, 'udp')
    proxy.send(Buffer.concat([bytes, Buffer.from(text)]), port)
    return target.next()
  }
  const [one, two] = [await send(1, 'a'), await send(2, 'b')]
  t.not(one.from.port, two.from.port)
  t.equal((await send(1, 'c')).from.port, one.from.port)
  target.send('to two', two.from.port)
  t.equal((await proxy.next()).bytes.toString(), 'to two')
})
