import t from 'tap'
import { linksFor } from '../../src/link/bundle.ts'
import { eventually, linked, receive, sha256 } from './bench.ts'

t.test('where lost packets slow TCP down, several links share them', async t => {
  t.equal(linksFor('bbr'), 1)
  t.equal(linksFor('bbr3'), 1)
  for (const name of ['cubic', 'reno', '']) t.equal(linksFor(name), 4, name)
})

t.test('new streams take the links of a bundle in turn', async t => {
  const world = await linked(t, undefined, 4)
  await eventually(() => world.near.status().filter(({ state }) => state === 'up').length === 4)
  for (let i = 0; i < 8; i++) await world.client()
  t.strictSame(
    world.near.status().map(({ streams }) => streams),
    [2, 2, 2, 2],
  )
  t.strictSame(
    world.far.status().map(({ streams }) => streams),
    [2, 2, 2, 2],
  )
})

t.test(
  'a link of a bundle that goes down takes its own streams with it, new ones take the others',
  async t => {
    const world = await linked(t, undefined, 2)
    await eventually(() => world.near.status().every(({ state }) => state === 'up'))
    await eventually(() => world.near.status().length === 2)
    const before = [await world.client(), await world.client()]
    const bytes = Buffer.alloc(3_000_000, 'wg-punchhole')
    const received = before.map(({ client }) => receive(client))
    world.session().close('a test')
    for (const { target } of before) target.end(bytes)
    for (const { client } of before) client.end()
    const ends = await Promise.all(received)
    t.same(ends.map(({ end }) => end).sort(), ['end', 'error'])
    t.equal(ends.find(({ end }) => end === 'end')?.hash, sha256(bytes))
    const { client, target } = await world.client()
    const again = receive(client)
    target.end(bytes)
    client.end()
    t.match(await again, { end: 'end', hash: sha256(bytes) })
  },
)
