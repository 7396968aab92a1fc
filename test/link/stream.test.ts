import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import t from 'tap'
import type { Arrival } from '../../src/link/acceptor.ts'
import type { Reset } from '../../src/link/reset-reason.ts'
import type { Stream } from '../../src/link/stream.ts'
import type { StreamEnd } from '../../src/link/stream-owner.ts'
import { eventually, linked, receive } from './bench.ts'

/** Short streams: their ends, their resets, and what is said of them. */

for (const first of ['client', 'target'] as const)
  t.test(`half-close: the ${first} ends first, the other direction goes on`, async t => {
    const world = await linked(t)
    const { client, target } = await world.client()
    const [ending, other] = first === 'client' ? [client, target] : [target, client]
    const [atOther, atEnding] = [receive(other), receive(ending)]
    ending.end('hello')
    t.match(await atOther, { bytes: 5, end: 'end' })
    other.write('good')
    other.end('bye')
    t.match(await atEnding, { bytes: 7, end: 'end' })
    await eventually(() => world.ended.near.length === 1 && world.ended.far.length === 1)
    t.same([...world.ended.near, ...world.ended.far], ['complete', 'complete'])
    t.equal(world.session().streams, 0)
  })

for (const which of ['client', 'target'] as const)
  t.test(`a reset by the ${which} arrives as a reset`, async t => {
    const world = await linked(t)
    const { client, target } = await world.client()
    const [resetting, other] = which === 'client' ? [client, target] : [target, client]
    other.write('x')
    await once(resetting, 'data')
    const seen = receive(other)
    resetting.resetAndDestroy()
    t.equal((await seen).end, 'error')
    await eventually(() => world.ended.near.length === 1 && world.ended.far.length === 1)
    t.equal(world.ended[which === 'client' ? 'near' : 'far'][0], 'local-reset')
    t.equal(world.ended[which === 'client' ? 'far' : 'near'][0], 'far-reset')
  })

t.test('a refusal tells its reason and its details', async t => {
  const arrivals: Arrival[] = []
  const world = await linked(t, arrival => {
    arrivals.push(arrival)
    arrival.stream.owner = { streamEnded() {}, halfClosed() {} }
    arrival.stream.abort({ reason: 'target-failed', detail: 'traefik:80: ECONNREFUSED' })
  })
  const client = connect({ port: world.port, host: '127.0.0.1', autoSelectFamily: false })
  client.on('error', () => {})
  t.equal((await receive(client)).end, 'error')
  t.match(arrivals, [{ port: 80, localAddress: '127.0.0.1', remoteAddress: '127.0.0.1' }])
  t.equal(arrivals[0]!.header.toString(), 'header')
  t.same(world.ended.why, [{ reason: 'target-failed', detail: 'traefik:80: ECONNREFUSED' }])
})

t.test('what arrives before there is a socket is kept, and goes first in one piece', async t => {
  let stream: Stream | undefined
  const ends: [StreamEnd, Reset | undefined][] = []
  const world = await linked(t, arrival => {
    stream = arrival.stream
    stream.owner = { streamEnded: (end, why) => ends.push([end, why]), halfClosed() {} }
  })
  const client = connect({
    port: world.port,
    host: '127.0.0.1',
    autoSelectFamily: false,
    allowHalfOpen: true,
  })
  client.write('early ')
  client.end('data')
  await eventually(() => stream?.receivedBytes === 10)
  const other = await linked(t)
  const { client: local, target } = await other.client()
  stream!.attach(local, Buffer.from('header '), undefined)
  const [first] = (await once(target, 'data')) as [Buffer]
  t.equal(first.toString(), 'header early data')
  const answer = receive(client)
  target.end('fine')
  t.match(await answer, { bytes: 4, end: 'end' })
  await eventually(() => ends.length === 1)
  t.same(ends, [['complete', undefined]])
})

t.test('a client that goes before there is a socket at the other end', async t => {
  const ends: StreamEnd[] = []
  const world = await linked(
    t,
    ({ stream }) => (stream.owner = { streamEnded: end => void ends.push(end), halfClosed() {} }),
  )
  const client = connect({ port: world.port, host: '127.0.0.1', autoSelectFamily: false })
  await once(client, 'connect')
  await eventually(() => world.session().streams === 1)
  client.resetAndDestroy()
  await eventually(() => ends.length === 1)
  t.same(ends, ['far-reset'])
})

t.test('a link that has room again leaves a socket alone that was taken back meanwhile', async t => {
  const arrivals: Arrival[] = []
  const world = await linked(t, arrival => void arrivals.push(arrival))
  const client = connect({ port: world.port, host: '127.0.0.1', autoSelectFamily: false })
  t.teardown(() => client.destroy())
  await eventually(() => arrivals.length === 1)
  const stream = world.streams[0]!
  let isBack = false
  stream.owner = { takesBack: () => (isBack = true), streamEnded() {}, halfClosed() {} }
  stream.block()
  arrivals[0]!.stream.abort({ reason: 'target-failed', detail: '' })
  await eventually(() => isBack)
  const resume = t.capture(Socket.prototype, 'resume', Socket.prototype.resume)
  stream.unblock()
  t.equal(resume().length, 0)
})

t.test('10,000 streams at once', async t => {
  const arrivals: Arrival[] = []
  const world = await linked(t, arrival => {
    arrival.stream.owner = { streamEnded() {}, halfClosed() {} }
    arrivals.push(arrival)
  })
  const ended: StreamEnd[] = []
  const streams = Array.from({ length: 10_000 }, () => world.session().open(80, Buffer.from('header')))
  for (const stream of streams) stream.owner = { streamEnded: end => void ended.push(end), halfClosed() {} }
  await eventually(() => arrivals.length === 10_000)
  t.equal(world.session().streams, 10_000)
  for (const { stream } of arrivals) stream.abort({ reason: 'draining', detail: '' })
  await eventually(() => ended.length === 10_000)
  t.same(new Set(ended), new Set(['far-reset']))
  t.equal(world.session().streams, 0)
})

t.test('300 readers that stop: 64 MiB are held for them, those that want more are cut', async t => {
  const arrived: Stream[] = []
  const ends: StreamEnd[] = []
  const world = await linked(t, ({ stream }) => {
    arrived.push(stream)
    stream.owner = { streamEnded: end => void ends.push(end), halfClosed() {} }
  })
  const bytes = Buffer.alloc(250_000)
  const clients = Array.from({ length: 300 }, () => {
    const client = connect({ port: world.port, host: '127.0.0.1', autoSelectFamily: false })
    t.teardown(() => client.destroy())
    return client.on('error', () => {})
  })
  for (const client of clients) client.write(bytes)
  // It is looked at every 4 MiB.
  const cut = Math.ceil(300 - (68 << 20) / bytes.length)
  await eventually(() => ends.length >= cut)
  await eventually(() => world.ended.near.length === ends.length)
  t.same(new Set([...ends, ...world.ended.near]), new Set(['aborted', 'far-reset']))
  t.ok(ends.length < cut + 30, `${ends.length} of 300 were cut`)
  await eventually(() => world.session().streams === 300 - ends.length)
  t.equal(world.ended.near.length, ends.length, 'the others live')
})
