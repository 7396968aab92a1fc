import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import t from 'tap'
import { eventually, linked, receive, sha256 } from './bench.ts'

/** Streams that become long ones, and move to a lane of their own. */

t.test(
  'both directions at once, with readers that stop now and then: every byte arrives, in order',
  async t => {
    const world = await linked(t)
    for (let round = 0; round < 8; round++) {
      const { client, target } = await world.client()
      const [up, down] = [randomBytes(6 << 20), randomBytes(6 << 20)]
      const received = Promise.all([receive(client, true), receive(target, true)])
      client.end(up)
      target.end(down)
      const [atClient, atTarget] = await received
      t.same(atClient, { bytes: down.length, hash: sha256(down), end: 'end' })
      t.same(atTarget, { bytes: up.length, hash: sha256(up), end: 'end' })
    }
    await eventually(() => world.session().streams === 0 && world.session().promoted === 0)
    t.same(new Set([...world.ended.near, ...world.ended.far]), new Set(['complete']))
  },
)

for (const first of ['client', 'target'] as const)
  t.test(`half-close: the ${first} has ended, the other side sends much`, async t => {
    const world = await linked(t)
    const { client, target } = await world.client()
    const [ending, other] = first === 'client' ? [client, target] : [target, client]
    ending.end('that is all')
    t.equal((await receive(other)).bytes, 11)
    const data = randomBytes(4 << 20)
    const received = receive(ending)
    other.end(data)
    t.same(await received, { bytes: data.length, hash: sha256(data), end: 'end' })
  })

for (const which of ['client', 'target'] as const)
  t.test(`the ${which} resets a promoted stream: the other side gets an error, no end`, async t => {
    const world = await linked(t)
    const { client, target } = await world.client()
    const [resetting, other] = which === 'client' ? [client, target] : [target, client]
    const received = receive(other)
    resetting.write(randomBytes(2 << 20))
    await eventually(() => world.session().promoted === 1)
    resetting.resetAndDestroy()
    t.equal((await received).end, 'error')
    await eventually(() => world.session().streams === 0)
  })

t.test('the link is cut: promoted streams finish whole, the others are cut at both ends', async t => {
  const world = await linked(t)
  const long = await world.client()
  const short = await world.client()
  const data = randomBytes(24 << 20)
  short.client.write('x')
  await once(short.target, 'data')
  const received = receive(long.client, true)
  long.target.end(data)
  await eventually(() => world.session().promoted === 1 && long.client.bytesRead > 1 << 20)
  const cut = Promise.all([receive(short.client), receive(short.target)])
  world.session().close('cut by the test')
  t.same(
    (await cut).map(({ end }) => end),
    ['error', 'error'],
  )
  t.same(await received, { bytes: data.length, hash: sha256(data), end: 'end' })
  long.client.end()
  await eventually(() => world.ended.near.length === 2)
  t.same(world.ended.near.toSorted(), ['complete', 'link-lost'])
  await eventually(() => world.session() !== undefined)
  t.ok(await world.client(), 'and a new link takes the next ones')
})

t.test('small messages are never promoted, however many', async t => {
  const world = await linked(t)
  const { client, target } = await world.client()
  target.pipe(target)
  let echoed = 0
  client.on('data', chunk => (echoed += chunk.length))
  for (let i = 0; i < 400; i++) {
    client.write(Buffer.alloc(3000, i))
    await eventually(() => echoed === 3000 * (i + 1))
  }
  t.equal(world.session().promoted, 0)
})

t.test('one reader that stops costs the others nothing, and holds little', async t => {
  const world = await linked(t)
  const stopped = await world.client()
  stopped.client.pause()
  stopped.target.write(randomBytes(64 << 20))
  const { client, target } = await world.client()
  const data = randomBytes(8 << 20)
  const received = receive(client)
  target.end(data)
  t.same(await received, { bytes: data.length, hash: sha256(data), end: 'end' })
  t.ok(stopped.target.writableLength > 32 << 20, 'most of it waits at its sender')
})

t.test('a stream of a link that has a successor takes none of its lanes', async t => {
  const world = await linked(t)
  const { client, target } = await world.client()
  const first = world.session()
  first.retire()
  world.near.retry('127.0.0.1')
  await eventually(() => world.session() !== undefined)
  // Lanes of the second one are at hand.
  const other = await world.client()
  const long = randomBytes(2 << 20)
  const arrived = receive(other.target)
  other.client.end(long)
  t.match(await arrived, { hash: sha256(long), end: 'end' })
  const data = randomBytes(8 << 20)
  const received = receive(target)
  client.end(data)
  t.match(await received, { bytes: data.length, hash: sha256(data), end: 'end' })
  t.equal(first.promoted, 0)
})
