import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { frame, frameHeader } from '../../src/link/frame.ts'
import { copied, Outbox } from '../../src/link/outbox.ts'
import { listening } from './bench.ts'

/**
 * An outbox on a real connection, the sizes of what went through the stream, all unless it is to go past it, and a clock that
 * stands still until the test moves it.
 */
async function outboxOf(t: Test, way: 'stream' | 'past the stream' = 'stream') {
  const server = createServer()
  const socket = connect({ port: await listening(server), host: '127.0.0.1' })
  const [far] = (await once(server, 'connection')) as [Socket]
  await once(socket, 'connect')
  t.teardown(() => {
    socket.destroy()
    far.destroy()
    server.close()
  })
  const writes: number[] = []
  // Small writes go past the stream where they find a descriptor.
  if (way === 'stream')
    Object.defineProperty((socket as Socket & { _handle: object })._handle, 'fd', { value: -1 })
  const write = socket.write.bind(socket)
  socket.write = ((chunk: Buffer) => {
    writes.push(chunk.length)
    return write(chunk)
  }) as Socket['write']
  const clock = { now: 1000 }
  t.intercept(performance, 'now', { value: () => clock.now, configurable: true })
  return { outbox: new Outbox(socket), socket, writes, far, clock }
}

function headerOf(stream: number, type: number, length: number): Buffer {
  const header = Buffer.alloc(frameHeader)
  header.writeUInt32BE(stream)
  header[4] = type
  header.writeUIntBE(length, 5, 3)
  return header
}

const tick = () => new Promise<void>(resolve => process.nextTick(resolve))

/** One that has just sent a frame of another stream. */
async function busyOutboxOf(t: Test) {
  const all = await outboxOf(t)
  all.outbox.add(1000, frame.ping, undefined)
  await turn()
  await turn()
  t.same(all.writes.splice(0), [frameHeader])
  return all
}

t.test('what each of several turns brings leaves together, once a turn brings nothing', async t => {
  const { outbox, writes } = await busyOutboxOf(t)
  for (let id = 1; id <= 100; id++) {
    outbox.add(id, frame.ping, undefined)
    await turn()
    t.same(writes, [], `turn ${id}`)
  }
  await turn()
  t.same(writes, [100 * frameHeader])
})

t.test('one frame alone of a busy link waits for one turn that brings nothing, and no timer', async t => {
  const { outbox, writes } = await busyOutboxOf(t)
  outbox.add(1, frame.ping, undefined)
  await turn()
  t.same(writes, [])
  await turn()
  t.same(writes, [frameHeader])
})

t.test('what begins a wave after a silence does not leave alone', async t => {
  const { outbox, writes, clock } = await busyOutboxOf(t)
  clock.now += 1000
  outbox.add(1, frame.ping, undefined)
  await tick()
  outbox.add(2, frame.ping, undefined)
  await turn()
  outbox.add(3, frame.ping, undefined)
  await turn()
  t.same(writes, [])
  await turn()
  t.same(writes, [3 * frameHeader])
})

t.test('what is added with a lone frame goes along', async t => {
  const { outbox, writes } = await busyOutboxOf(t)
  outbox.add(1000, frame.ping, undefined)
  outbox.add(2, frame.ping, undefined)
  await tick()
  t.same(writes, [2 * frameHeader])
  outbox.add(3, frame.ping, undefined)
  await tick()
  t.same(writes, [2 * frameHeader], 'what follows at once waits for more')
})

t.test('a stream that talks alone waits for nothing, but its bulk does', async t => {
  const { outbox, writes } = await busyOutboxOf(t)
  for (let i = 1; i <= 5; i++) {
    outbox.add(1000, frame.data, Buffer.alloc(100))
    await tick()
    t.same(writes, Array(i).fill(frameHeader + 100))
  }
  outbox.add(1000, frame.data, Buffer.alloc(5000))
  await tick()
  t.equal(writes.length, 5)
  await turn()
  t.same(writes.slice(5), [frameHeader, 5000])
})

t.test('turns that bring more and more do not hold back what came first', async t => {
  const { outbox, writes, clock } = await busyOutboxOf(t)
  for (let id = 1; id <= 10; id++) {
    outbox.add(id, frame.ping, undefined)
    await turn()
    clock.now += 0.5
  }
  t.same(writes, [6 * frameHeader], 'the first has waited for more than 2 ms')
  await turn()
  await turn()
  t.same(writes, [6 * frameHeader, 4 * frameHeader])
})

t.test('much does not wait, nor does a payload that goes by reference', async t => {
  const { outbox, writes, far } = await busyOutboxOf(t)
  for (let id = 1; id <= 8; id++) outbox.add(id, frame.data, Buffer.alloc(4096, id))
  await turn()
  t.same(writes, [8 * (frameHeader + 4096)])
  const large = Buffer.alloc(5000, 9)
  outbox.add(9, frame.data, large)
  await turn()
  t.same(writes.slice(1), [frameHeader, 5000])
  let arrived = Buffer.alloc(0)
  far.on('data', (part: Buffer) => (arrived = Buffer.concat([arrived, part])))
  const sent = frameHeader + 8 * (frameHeader + 4096) + frameHeader + 5000
  while (arrived.length < sent) await turn()
  t.same(arrived.subarray(-5000), large)
})

t.test('each frame once and in order, past the stream and through it, while the far end stalls', async t => {
  const { outbox, socket, far, writes, clock } = await outboxOf(t, 'past the stream')
  const sent: Buffer[] = []
  const received: Buffer[] = []
  far.on('data', (part: Buffer) => received.push(part)).pause()
  const small = Buffer.alloc(copied)
  let stalls = 0
  for (let i = 0; stalls < 5; i++) {
    const id = (i % 3) + 1
    // Some by reference; the others lie in memory that is used again at once.
    const length = i % 50 === 0 ? 5000 : (i * 37) % copied
    const payload = length > copied ? Buffer.alloc(length, i) : small.subarray(0, length).fill(i)
    sent.push(headerOf(id, frame.data, length), Buffer.from(payload))
    outbox.add(id, frame.data, payload)
    small.fill(0)
    clock.now += i % 4
    if (i % 2 === 0) await tick()
    else await turn()
    if (!outbox.isFull) continue
    stalls++
    t.ok(outbox.waiting < 1 << 20, 'nothing is held twice')
    far.resume()
    await once(socket, 'drain')
    far.pause()
  }
  far.resume()
  await Promise.all([once(far, 'end'), outbox.end(undefined)])
  const whole = Buffer.concat(sent)
  t.ok(Buffer.concat(received).equals(whole))
  const through = writes.reduce((sum, bytes) => sum + bytes, 0)
  t.ok(through > 0 && through < whole.length, `${through} of ${whole.length} bytes through the stream`)
})

t.test('a link that is cut before its turn sends nothing, and neither does one that has ended', async t => {
  const { outbox, socket, writes } = await outboxOf(t)
  outbox.add(1, frame.ping, undefined)
  socket.destroy()
  await turn()
  outbox.flush()
  t.same(writes, [])

  const other = await outboxOf(t)
  other.socket.on('error', error => t.fail(error.message))
  other.outbox.add(1, frame.ping, undefined)
  other.socket.end()
  await turn()
  other.outbox.add(1, frame.ping, undefined)
  other.outbox.flush()
  await turn()
  t.same(other.writes, [])
})

t.test('the end goes behind what waits', async t => {
  const { outbox, far } = await outboxOf(t)
  const parts: Buffer[] = []
  far.on('data', (part: Buffer) => parts.push(part))
  const ended = once(far, 'end').then(() => far.destroy())
  outbox.add(1, frame.ping, undefined)
  await outbox.end(undefined)
  await ended
  t.equal(Buffer.concat(parts).length, frameHeader)
})
