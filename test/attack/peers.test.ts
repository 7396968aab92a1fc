import type { Socket } from 'node:net'
import t from 'tap'
import { dial as connectTo, outcome } from '../forward/bench.ts'
import { eventually } from '../link/bench.ts'
import { dial, dialLink, frame, open } from './far-end.ts'
import { victim } from './loopback.ts'

/** One peer, or the clients of one forward, that want everything: what the others have is theirs. */

/** Opens so many streams; the answer to each is credit of the target's, or a reset. */
async function streams({ socket }: { socket: Socket }, port: number, count: number) {
  let [served, refused] = [0, 0]
  let text = ''
  let rest = Buffer.alloc(0)
  socket.on('data', (part: Buffer) => {
    rest = Buffer.concat([rest, part])
    while (rest.length >= 8 && rest.length >= 8 + rest.readUIntBE(5, 3)) {
      const length = rest.readUIntBE(5, 3)
      if (rest[4] === frame.data) served++
      if (rest[4] === frame.reset) {
        refused++
        text = rest.toString('utf8', 9, 8 + length)
      }
      rest = rest.subarray(8 + length)
    }
  })
  for (let id = 1; id <= count; id++) {
    const hello = Buffer.concat([
      open(id, port, 1024 + id),
      Buffer.from([0, 0, id >> 8, id & 255, 0, 0, 0, 1, 120]),
    ])
    if (!socket.write(hello)) await new Promise(resolve => socket.once('drain', resolve))
  }
  await eventually(() => served + refused === count)
  return { served, refused, text }
}

/** Clients at a port who ask for one byte, and how many of them get it. Who is served stays. */
async function clients(port: number, count: number) {
  const all = Array.from({ length: count }, () => connectTo(port))
  const ends = await Promise.all(
    all.map(socket => {
      socket.write('x')
      return outcome(socket, 1)
    }),
  )
  return { all, served: ends.filter(({ end }) => end === 'enough').length }
}

t.test('connections that say nothing: a peer has a few, and another one is let in', async t => {
  const { evil, kind, left, logged, descriptors } = await victim(t, 400)
  const silent: Socket[] = []
  for (let i = 0; i < 300; i++)
    await dial(evil).then(
      socket => silent.push(socket.resume()),
      () => {},
    )
  t.equal(await left(silent, 32), 32)
  const lines = logged('link refused')
  t.ok(lines.length > 0 && lines.length <= 20, `${lines.length} lines`)
  t.match(lines[0], {
    address: '127.0.0.2',
    peer: 'peer evil',
    why: '32 connections of it have not said yet what they are',
  })
  await dialLink(kind)
  t.ok(descriptors.free > 100, `${descriptors.free} are free`)
  for (const socket of silent) socket.destroy()
  await eventually(() => descriptors.used === 4)
  await dialLink(evil)
  t.equal(descriptors.used, 5, 'who has room again may come')
})

t.test('links: a peer has a few', async t => {
  const { evil, kind, forwarder, logged } = await victim(t)
  const tried = await Promise.allSettled(Array.from({ length: 25 }, () => dialLink(evil)))
  t.equal(tried.filter(({ status }) => status === 'fulfilled').length, 16)
  t.match(logged('link refused'), [
    ...Array.from({ length: 9 }, () => ({ peer: 'peer evil', why: 'it has 16 links' })),
  ])
  await dialLink(kind)
  t.equal(forwarder.links().length, 17)
  const [first] = tried
  if (first?.status === 'fulfilled') first.value.socket.destroy()
  await eventually(() => forwarder.links().length === 16)
  await dialLink(evil)
  t.pass('one that ends makes room')
})

/** 400 files less 192 in reserve, of which a quarter is for forwards, and for peers, of which there are two each. */
const [usable, certain, listeners] = [208, 26, 3]

t.test('streams: a peer leaves the others what is certain to them', async t => {
  const { evil, kind, inner, web, logged } = await victim(t, 400)
  const greedy = await streams(await dialLink(evil), inner, 600)
  // Its link is one; the other forward's and the other peer's are kept.
  t.equal(greedy.served, usable - listeners - 1 - 2 * certain)
  t.match(
    greedy.text,
    /^forward inner has \d+, of which 26 are certain; peer evil has \d+, of which 26 are certain; 52 of 400 descriptors are free, and kept/,
  )
  const { served, refused } = await streams(await dialLink(kind), inner, 100)
  t.same({ served, refused }, { served: certain - 1, refused: 100 - certain + 1 }, 'its link is one, too')
  t.equal((await clients(web, 100)).served, certain / 2, 'two descriptors each')
  const lines = logged('connection refused')
  t.ok(lines.length <= 60, `${lines.length} lines`)
  t.match(lines[0], { reason: 'descriptor-limit', forward: 'inner' })
})

t.test('connections through the tunnel: they count for the peer that they come from', async t => {
  const { evil, kind, inner, left, logged } = await victim(t, 400)
  const silent: Socket[] = []
  const direct = { ...evil, port: inner }
  for (let i = 0; i < 150; i++)
    await dial(direct).then(
      socket => silent.push(socket.resume()),
      () => {},
    )
  const most = (usable - listeners - 2 * certain) / 2
  t.equal(await left(silent, Math.floor(most)), Math.floor(most))
  t.match(logged('connection refused')[0], {
    reason: 'descriptor-limit',
    detail: /peer evil has \d+, of which 26 are certain/,
  })
  const { served } = await streams(await dialLink(kind), inner, 60)
  t.ok(served >= certain - 1, `${served} of another peer are served`)
})

t.test('clients: a forward leaves the others what is certain to them, and gets the rest', async t => {
  const { kind, inner, web, descriptors } = await victim(t, 400)
  const flood = await clients(web, 300)
  t.equal(flood.served, Math.floor((usable - listeners - certain) / 2))
  const others = await streams(await dialLink(kind), inner, certain - 1)
  t.same(others, { served: certain - 1, refused: 0, text: '' })
  for (const socket of flood.all) socket.destroy()
  await eventually(() => descriptors.used === listeners + certain)
})
