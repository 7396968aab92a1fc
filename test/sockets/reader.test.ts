import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { Writable } from 'node:stream'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  acceptStatic,
  afterRead,
  dialOptions,
  ownSize,
  pass,
  pin,
  type ReadSocket,
} from '../../src/sockets/reader.ts'
import { small } from '../../src/sockets/writer.ts'
import { Feed, pair, soon, untilItWaits } from '../fixtures/feed.ts'
import { receive, sha256 } from '../link/bench.ts'

/**
 * A receiver's kernel takes a part of what was read and no more, so the rest waits in memory. Meanwhile more is read: into
 * the buffer that all sockets share, or into the reader's own. Once the receiver reads on every byte is what was sent.
 */

/** Passes what it reads on to a receiver that is not reading yet. */
async function passing(t: Test, way: 'dialled' | 'accepted') {
  const { dialled: to, accepted: receiver } = await pair(t)
  const chunks: { readonly length: number; readonly isShared: boolean }[] = []
  const feed = await Feed[way](t, {
    read(chunk, isShared) {
      chunks.push({ length: chunk.length, isShared })
      return pass(chunk, isShared, to)
    },
  })
  const { socket } = feed
  to.on('drain', () => socket.resume())
  socket.on('end', () => to.end())
  /** The receiver reads all of it. */
  const isWhole = async () => {
    const received = receive(receiver)
    receiver.resume()
    feed.end()
    const all = Buffer.concat(feed.sent)
    t.same(await received, { bytes: all.length, hash: sha256(all), end: 'end' })
  }
  return { feed, socket, to, chunks, isWhole }
}

/** A socket that has a read buffer of its own from then on. */
async function untilOwn({ feed, socket }: { feed: Feed; socket: ReadSocket }): Promise<void> {
  while (socket.readBuffer === undefined) await feed.send(randomBytes(60_000))
}

for (const way of ['dialled', 'accepted'] as const)
  t.test(`${way}: others read into the shared buffer while a part of it waits`, async t => {
    const { feed, socket, to, chunks, isWhole } = await passing(t, way)
    const other = await Feed[way](t, { read: () => true })
    await untilItWaits(to, async () => {
      await feed.send(randomBytes(16_000))
      await other.send(randomBytes(16_000))
    })
    // One more goes behind what waits, and is not to be lost either.
    await feed.send(randomBytes(16_000))
    await other.send(randomBytes(16_000))
    t.ok(socket.isPaused() || to.writableLength > 0, 'it waits for the receiver')
    t.ok(
      chunks.every(({ isShared }) => isShared),
      'each was read into the shared buffer',
    )
    await isWhole()
  })

t.test('it reads on while a part of its own buffer waits, which is left alone', async t => {
  const { feed, socket, to, chunks, isWhole } = await passing(t, 'dialled')
  let isOwn = false
  await untilItWaits(to, async () => {
    await untilOwn({ feed, socket })
    await feed.send(randomBytes(32_000))
    isOwn = !chunks.at(-1)!.isShared
  })
  t.ok(isOwn, 'what waits was read into its own buffer')
  t.equal(socket.readBuffer, undefined, 'it has that one no more')
  await feed.send(randomBytes(32_000))
  t.match(chunks.at(-1), { isShared: true })
  t.equal(socket.readBuffer, undefined, 'and gets none before it goes on')
  await isWhole()
})

t.test('where it does not read on, what waits keeps its buffer, which is read into afterwards', async t => {
  let take: (() => void) | undefined
  let waiting: Buffer | undefined
  // Takes all but the first large chunk.
  const to = new Writable({
    highWaterMark: 65_536,
    write(chunk, _, done) {
      if (waiting !== undefined || chunk.length < 65_536) return done()
      waiting = chunk
      take = done
    },
  })
  const memory = new Set<ArrayBufferLike>()
  const feed = await Feed.dialled(t, {
    read(chunk, isShared) {
      if (!isShared) memory.add(chunk.buffer)
      return pass(chunk, isShared, to as Socket)
    },
  })
  const { socket } = feed
  to.on('drain', () => socket.resume())
  await untilOwn({ feed, socket })
  let sending = Promise.resolve()
  while (waiting === undefined) {
    sending = feed.send(randomBytes(200_000))
    await Promise.race([sending, soon(() => waiting !== undefined)])
  }
  t.equal(socket.readBuffer?.buffer, (waiting as Buffer).buffer)
  take!()
  await sending
  await feed.send(randomBytes(200_000))
  t.equal(memory.size, 1, 'it never needed another one')
})

t.test('chunks that are pinned stay as they are, and share a read buffer until it is full', async t => {
  const kept: Buffer[] = []
  const feed = await Feed.dialled(t, {
    read(chunk, isShared) {
      if (isShared) kept.push(Buffer.from(chunk))
      else {
        kept.push(chunk)
        pin()
      }
      return true
    },
  })
  await untilOwn({ feed, socket: feed.socket })
  for (let i = 0; i < 40; i++) await feed.send(randomBytes(60_000))
  t.equal(sha256(Buffer.concat(kept)), sha256(Buffer.concat(feed.sent)), 'nothing was overwritten')
  const own = kept.filter(chunk => chunk.buffer.byteLength === ownSize)
  const buffers = new Set(own.map(({ buffer }) => buffer)).size
  const bytes = own.reduce((sum, { length }) => sum + length, 0)
  t.ok(own.length > 30, 'most are kept without a copy')
  t.ok(bytes > (buffers - 1) * (ownSize / 2), `${bytes} bytes in ${buffers} buffers`)
})

t.test(
  'what is to be done after a read is done before the next one, and without a read at once after',
  async t => {
    const server = createServer()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    acceptStatic(server)
    const order: string[] = []
    const accepted = once(server, 'connection') as Promise<[ReadSocket]>
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => [client.destroy(), server.close()])
    const [socket] = await accepted
    socket.sink = {
      read(chunk) {
        order.push(`read ${chunk}`)
        afterRead(() => order.push('after'))
        process.nextTick(() => order.push('tick'))
        return true
      },
    }
    socket.resume()
    client.write('a')
    while (order.length < 3) await endOfTurn()
    t.same(order, ['read a', 'after', 'tick'])
    afterRead(() => order.push('no read'))
    t.equal(order.length, 3)
    await Promise.resolve()
    await endOfTurn()
    t.equal(order.at(-1), 'no read')
  },
)

t.test('a sink that throws holds up nothing of the others, then and later', async t => {
  const done: string[] = []
  const sink = {
    read() {
      for (let i = 0; i < 2; i++) afterRead(() => done.push('of that read'))
      throw new Error('a fault of ours')
    },
  }
  const { callback } = dialOptions.onread!
  t.throws(() => callback.call({ sink }, 1, Buffer.alloc(10)), { message: 'a fault of ours' })
  t.same(done, ['of that read', 'of that read'])
  afterRead(() => done.push('without a read'))
  await new Promise(resolve => process.nextTick(resolve))
  t.equal(done.at(-1), 'without a read')
})

t.test('what is small is with the kernel of the other socket when it has been read', async t => {
  const { dialled: to, accepted: receiver } = await pair(t)
  let through = 0
  const write = to.write.bind(to)
  to.write = ((chunk: Buffer) => {
    through += chunk.length
    return write(chunk)
  }) as Socket['write']
  const feed = await Feed.dialled(t, { read: (chunk, isShared) => pass(chunk, isShared, to) })
  const received = receive(receiver)
  receiver.resume()
  await feed.send(Buffer.alloc(small, 'a'))
  t.equal(through, 0, 'past its stream')
  await feed.send(Buffer.alloc(small + 1, 'b'))
  t.equal(through, small + 1)
  to.end()
  const all = Buffer.concat(feed.sent)
  t.same(await received, { bytes: all.length, hash: sha256(all), end: 'end' })
})

t.test('what is done after a read may ask for more, and may make sockets', async t => {
  const order: string[] = []
  let made: ReadSocket | undefined
  const feed = await Feed.dialled(t, {
    read(chunk) {
      order.push(`read ${chunk}`)
      afterRead(() => {
        made ??= connect({ ...dialOptions, host: '127.0.0.1', port: 1 }).on('error', () => {})
        order.push('after')
        afterRead(() => order.push('after that'))
        process.nextTick(() => order.push('tick'))
      })
      return true
    },
  })
  await feed.send(Buffer.from('a'))
  await feed.send(Buffer.from('b'))
  const round = ['after', 'after that', 'tick']
  t.same(order.toSorted(), ['read a', ...round, 'read b', ...round].toSorted())
  t.same(order.slice(0, 2), ['read a', 'after'])
  t.ok(order.indexOf('read b') > order.indexOf('after that'), 'before the next read')
  // Its buffer is the one that all share, whatever the socket that was reading goes on with.
  t.ok(readBufferOf(made!) instanceof Buffer)
  t.equal(readBufferOf(made!), readBufferOf(feed.socket))
  made!.destroy()
})

/** Where Node keeps it. */
function readBufferOf(socket: object): unknown {
  const key = Object.getOwnPropertySymbols(socket).find(symbol => symbol.description === 'kBuffer')!
  return Reflect.get(socket, key)
}
