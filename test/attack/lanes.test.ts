import type { Socket } from 'node:net'
import t from 'tap'
import { defaults, encodeGreeting, greetingKind } from '../../src/link/greeting.ts'
import { eventually } from '../link/bench.ts'
import { bytes, dial, dialLane, dialLink, frame, open } from './far-end.ts'
import { victim } from './loopback.ts'

/** Lanes that wait for a stream: what waits is counted, bounded, and ends with its link. */

const number = (id: number) => Buffer.from([0, 0, id >> 8, id & 255])

async function lanes(
  at: { host: string; port: number },
  token: Buffer,
  count: number,
  id: (i: number) => Buffer,
) {
  const all: Socket[] = []
  for (let i = 0; i < count; i++) {
    const lane = await dialLane(at, token)
    lane.write(id(i))
    all.push(lane.resume())
  }
  return all
}

t.test('many lanes for one stream to come: the first one is its lane, the others are closed', async t => {
  const { descriptors, evil, inner, left } = await victim(t)
  const { socket, greeting } = await dialLink(evil)
  const before = descriptors.used
  const all = await lanes(evil, greeting.token, 200, () => number(7))
  t.equal(await left(all, 1), 1)
  t.notOk(all[0]!.destroyed, 'the first one waits')
  await eventually(() => descriptors.used <= before + 1)
  // The rest of the stream travels on the lane.
  socket.write(
    Buffer.concat([
      open(7, inner),
      bytes(7, frame.data, Buffer.from('on the link, ')),
      bytes(7, frame.switch),
    ]),
  )
  all[0]!.write('on the lane')
  const echoed: Buffer[] = []
  all[0]!.on('data', part => echoed.push(part))
  await eventually(() => Buffer.concat(echoed).toString().endsWith('on the lane'))
  socket.destroy()
  all[0]!.destroy()
  await eventually(() => descriptors.used === 3)
  t.pass('only listeners are left')
})

t.test('lanes that wait are bounded for each peer, over all its links, and end with their link', async t => {
  const { descriptors, evil, kind, left, logged } = await victim(t)
  const first = await dialLink(evil)
  const second = await dialLink(evil)
  const half = await lanes(evil, first.greeting.token, 40, i => number(1000 + i))
  const more = await lanes(evil, second.greeting.token, 100, i =>
    i % 2 ? Buffer.from([0]) : Buffer.alloc(0),
  )
  t.equal(await left([...half, ...more], 64), 64)
  t.match(logged('link refused')[0], {
    address: '127.0.0.2',
    peer: 'peer evil',
    why: '64 lanes of it wait for a stream',
  })
  const other = await dialLink(kind)
  const good = await lanes(kind, other.greeting.token, 8, () => Buffer.alloc(0))
  t.equal(await left(good, 8), 8, 'another peer has its own')
  first.socket.destroy()
  t.equal(await left(half, 0), 0)
  second.socket.resetAndDestroy()
  t.equal(await left(more, 0), 0)
  t.equal(await left(good, 8), 8)
  other.socket.destroy()
  await eventually(() => descriptors.used === 3)
  t.equal(await left(good, 0), 0)
})

t.test('a lane whose far end goes is forgotten while it waits for its number', async t => {
  const { descriptors, evil } = await victim(t)
  const { greeting } = await dialLink(evil)
  const before = descriptors.used
  for (let round = 0; round < 3; round++) {
    const all = await lanes(evil, greeting.token, 40, i => Buffer.alloc(i % 4))
    await eventually(() => descriptors.used === before + 40)
    for (const [i, lane] of all.entries()) i % 2 ? lane.resetAndDestroy() : lane.end()
    await eventually(() => descriptors.used === before)
    for (const lane of all) lane.destroy()
  }
  t.pass('none of them stays')
})

t.test('a link that ends while its lanes are only greeting', async t => {
  const { descriptors, evil } = await victim(t)
  const { socket, greeting } = await dialLink(evil)
  const greeted = await Promise.all(Array.from({ length: 20 }, () => dial(evil)))
  await eventually(() => descriptors.used === 24)
  socket.resetAndDestroy()
  await eventually(() => descriptors.used === 23)
  const closed = greeted.map(lane => new Promise(resolve => lane.resume().once('close', resolve)))
  for (const lane of greeted)
    lane.write(
      Buffer.concat([
        encodeGreeting({ ...defaults, kind: greetingKind.lane, token: greeting.token }),
        number(1),
      ]),
    )
  await Promise.all(closed)
  await eventually(() => descriptors.used === 3)
  t.pass('none of them stays')
})
