import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Relay } from '../../src/connection/relay.ts'
import { acceptStatic, dialOptions, socketOptions } from '../../src/sockets/reader.ts'
import { eventually, linked, listening, receive, sha256 } from '../link/bench.ts'

/** Who goes while the other side does not read: nobody reads him then, so nothing tells of his end until somebody looks. */

/** A relay between two sockets, as a forward makes it, and how it ended. */
async function relayed(t: Test) {
  const pairs = await Promise.all([pair(t, false), pair(t, true)])
  const [client, target] = pairs
  const ended: string[] = []
  const relay = new Relay(client!.inside, target!.inside, undefined, 0, {
    relayEnded: end => ended.push(end),
    begins: () => true,
    halfClosed() {},
  })
  return { relay, client: client!.outside, target: target!.outside, ended }
}

/** A connection: the side of an end, and the other one. */
async function pair(t: Test, isDialled: boolean) {
  const server = createServer(socketOptions)
  const port = await listening(server)
  if (!isDialled) acceptStatic(server)
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const dialled = connect({ ...(isDialled ? dialOptions : socketOptions), host: '127.0.0.1', port })
  if (isDialled) dialled.pause()
  await once(dialled, 'connect')
  const [other] = await accepted
  server.close()
  const [inside, outside] = isDialled ? [dialled, other] : [other, dialled]
  outside.on('error', () => {})
  t.teardown(() => {
    inside.destroy()
    outside.destroy()
  })
  return { inside, outside }
}

/** Sends until nobody takes any more. */
async function fill(socket: Socket): Promise<void> {
  const piece = randomBytes(1 << 20)
  for (let waiting = false; !waiting; ) {
    if (socket.write(piece)) continue
    waiting = await Promise.race([once(socket, 'drain').then(() => false), sleep(200, true)])
  }
}

for (const [gone, other] of [
  ['client', 'target'],
  ['target', 'client'],
] as const)
  t.test(`a ${gone} that resets while the ${other} reads nothing`, async t => {
    const { relay, ended, ...sides } = await relayed(t)
    await fill(sides[gone])
    relay.look()
    await sleep(50)
    t.same(ended, [], 'who is there may wait')
    sides[gone].resetAndDestroy()
    await sleep(50)
    t.same(ended, [], 'nothing was heard')
    relay.look()
    await eventually(() => ended.length > 0)
    t.same(ended, [`${gone}-reset`])
  })

t.test('a look changes nothing of what is carried', async t => {
  const { relay, client, target } = await relayed(t)
  const data = randomBytes(16 << 20)
  client.end(data)
  const looks = setInterval(() => relay.look(), 1)
  await sleep(100)
  const received = receive(target, true)
  const answered = receive(client, true)
  target.end(data.subarray(0, 1 << 20))
  t.match(await received, { hash: sha256(data), end: 'end' })
  t.match(await answered, { hash: sha256(data.subarray(0, 1 << 20)), end: 'end' })
  clearInterval(looks)
})

t.test('over a link: a client that resets while its target reads nothing, and a target', async t => {
  const world = await linked(t)
  const { client } = await world.client()
  const second = await world.client()
  await fill(client)
  await fill(second.target)
  await sleep(50)
  client.resetAndDestroy()
  second.target.resetAndDestroy()
  await sleep(50)
  t.equal(world.session().streams, 2, 'nothing was heard')
  for (const stream of world.streams) stream.look()
  await eventually(() => world.ended.near.length === 2 && world.ended.far.length === 2)
  t.same(world.ended.near.sort(), ['far-reset', 'local-reset'])
  t.same(world.ended.far.sort(), ['far-reset', 'local-reset'])
})
