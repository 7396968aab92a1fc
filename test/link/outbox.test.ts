import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { frame, frameHeader } from '../../src/link/frame.ts'
import { Outbox } from '../../src/link/outbox.ts'

/** An outbox on a real connection, the sizes of what it wrote, and what arrived. */
async function outboxOf(t: Test) {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const socket = connect({ port: (server.address() as { port: number }).port, host: '127.0.0.1' })
  const [far] = (await once(server, 'connection')) as [Socket]
  await once(socket, 'connect')
  t.teardown(() => {
    socket.destroy()
    far.destroy()
    server.close()
  })
  const writes: number[] = []
  const write = socket.write.bind(socket)
  socket.write = ((chunk: Buffer) => {
    writes.push(chunk.length)
    return write(chunk)
  }) as Socket['write']
  return { outbox: new Outbox(socket), writes, far }
}

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await turn()
}

t.test('what each of several turns brings leaves together, once a turn brings nothing', async t => {
  const { outbox, writes } = await outboxOf(t)
  // A machine that is busy may need longer for five turns than the first of them waits.
  for (let isFast = false, tries = 0; !isFast && tries < 100; tries++) {
    writes.length = 0
    const began = performance.now()
    for (let id = 1; id <= 5; id++) {
      outbox.add(id, frame.ping, undefined)
      await turn()
    }
    isFast = performance.now() - began < 1.5
    await turns(3)
  }
  t.same(writes, [5 * frameHeader])
})

t.test('one frame alone waits for one more turn and no timer', async t => {
  const { outbox, writes } = await outboxOf(t)
  outbox.add(1, frame.ping, undefined)
  await turns(3)
  t.same(writes, [frameHeader])
})

t.test('turns that bring more and more do not hold back what came first', async t => {
  const { outbox, writes } = await outboxOf(t)
  const began = performance.now()
  let added = 0
  while (performance.now() - began < 50) {
    outbox.add(1, frame.ping, undefined)
    added++
    await turn()
  }
  t.ok(writes.length > 3, `${writes.length} writes of ${added} frames`)
  t.ok(writes.length < added / 2, `${writes.length} writes of ${added} frames`)
})

t.test('much does not wait, nor does a payload that goes by reference', async t => {
  const { outbox, writes, far } = await outboxOf(t)
  for (let id = 1; id <= 8; id++) outbox.add(id, frame.data, Buffer.alloc(4096, id))
  await turns(1)
  t.same(writes, [8 * (frameHeader + 4096)])
  const large = Buffer.alloc(5000, 9)
  outbox.add(9, frame.data, large)
  await turns(1)
  t.same(writes.slice(1), [frameHeader, 5000])
  let arrived = Buffer.alloc(0)
  while (arrived.length < 8 * (frameHeader + 4096) + frameHeader + 5000)
    arrived = Buffer.concat([arrived, (await once(far, 'data'))[0] as Buffer])
  t.same(arrived.subarray(-5000), large)
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
