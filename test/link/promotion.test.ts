import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { FrameReader, frame } from '../../src/link/frame.ts'
import { Links } from '../../src/link/links.ts'
import type { StreamEnd } from '../../src/link/stream-owner.ts'
import { acceptStatic, socketOptions } from '../../src/sockets/reader.ts'
import { reset } from '../../src/sockets/reset.ts'
import { acceptLinks, bytes } from '../attack/far-end.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, linked, listening, receive, sha256, trustLoopback, unattended } from './bench.ts'

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

/**
 * An end whose far end is played by hand: it counts the frames of each type, and gives the lane that a stream moved to.
 * @param begin makes the stream a long one
 */
async function promoting(
  t: Test,
  begin = async (client: Socket, _link: Socket, _heard: ReadonlyMap<number, number>) => {
    client.write(randomBytes(1 << 20))
  },
) {
  const heard = new Map<number, number>()
  const lanes: Socket[] = []
  let link: Socket | undefined
  let lane: Socket | undefined
  const far = await acceptLinks(
    { host: '127.0.0.1', port: 0 },
    ({ socket }) => {
      link = socket
      const count = (type: number) => heard.set(type, (heard.get(type) ?? 0) + 1)
      const reader = new FrameReader({ part: () => count(frame.data), control: (_, type) => count(type) })
      socket.on('data', chunk => reader.read(chunk))
    },
    idle => {
      lanes.push(idle)
      idle.once('data', () => (lane = idle.pause())).resume()
    },
  )
  const near = new Links({ ...unattended(), log: recordingLog().log })
  const { port } = far.address() as { port: number }
  near.configure({ ...trustLoopback, port, addresses: new Set(['127.0.0.1']), trusted: [] })
  const ended: StreamEnd[] = []
  const front = createServer(socketOptions, socket => {
    const stream = near.to('127.0.0.1')!.open(80, Buffer.from('header'))
    stream.owner = { streamEnded: end => ended.push(end), halfClosed() {} }
    stream.attach(socket, undefined, undefined)
  })
  const at = { host: '127.0.0.1', port: await listening(front), allowHalfOpen: true }
  acceptStatic(front)
  t.teardown(() => {
    void near.close(AbortSignal.abort())
    for (const server of [far, front]) server.close()
    for (const lane of lanes) lane.destroy()
    link?.destroy()
  })
  await eventually(() => near.to('127.0.0.1') !== undefined && lanes.length > 0)
  const client = connect(at)
  client.on('error', () => {})
  t.teardown(() => client.destroy())
  await begin(client, link!, heard)
  await eventually(() => heard.has(frame.switch) && lane !== undefined)
  return { client, heard, ended, link: link!, lane: lane! }
}

t.test('a lane is lost before the far end has it: that is told over the link', async t => {
  const { client, heard, ended, link, lane } = await promoting(t)
  const received = receive(client)
  reset(lane)
  link.write(bytes(1, frame.credit, Buffer.from([0, 16, 0, 0])))
  t.equal((await received).end, 'error')
  await eventually(() => heard.has(frame.reset))
  t.same(ended, ['far-reset'])
})

t.test('the same once both sides have ended: what is left of the lane has not arrived', async t => {
  const { client, heard, ended, link, lane } = await promoting(t)
  const received = receive(client)
  link.write(bytes(1, frame.credit, Buffer.from([0, 16, 0, 0])))
  link.write(bytes(1, frame.end))
  lane.resume()
  t.equal((await received).end, 'end')
  client.end()
  await eventually(() => client.destroyed)
  reset(lane)
  await eventually(() => heard.has(frame.reset))
  t.same(ended, ['far-reset'])
})

t.test(
  'the client has ended before the stream moved: a lane that comes too late takes nothing away',
  async t => {
    const { client, heard, ended, link, lane } = await promoting(t, async (client, link, heard) => {
      client.end('all')
      await eventually(() => heard.has(frame.end))
      link.write(bytes(1, frame.want))
    })
    const received = receive(client)
    link.write(bytes(1, frame.end))
    t.equal((await received).end, 'end')
    await eventually(() => client.destroyed)
    reset(lane)
    await eventually(() => ended.length > 0)
    t.same(ended, ['complete'])
    t.notOk(heard.has(frame.reset))
  },
)
