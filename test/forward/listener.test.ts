import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Listener } from '../../src/forward/listener.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { freePort } from '../fixtures/free-port.ts'
import { recordingLog } from '../fixtures/log.ts'

/**
 * On loopback the kernel lets a connection in while connect() runs, so that those of one turn of the event loop wait in
 * the listener's queue until the next.
 */
async function opened(t: Test): Promise<Listener> {
  const { log } = recordingLog()
  const descriptors = new Descriptors(Number.POSITIVE_INFINITY)
  // Read to its end, or it stays open, and a flood of them takes all descriptors.
  const accept = (socket: Socket) =>
    socket
      .on('error', () => {})
      .resume()
      .end('served')
  const listener = new Listener('127.0.0.1', await freePort(), accept, { log, descriptors })
  await listener.open()
  t.teardown(() => listener.close())
  return listener
}

/** What becomes of each of so many connections that are begun now. */
function burst(port: number, count: number): Promise<string>[] {
  return Array.from({ length: count }, async () => {
    const socket = connect(port, '127.0.0.1')
    let text = ''
    socket.on('data', chunk => {
      text += chunk
    })
    try {
      await once(socket, 'end')
      return text
    } catch (error) {
      return (error as NodeJS.ErrnoException).code!
    } finally {
      socket.destroy()
    }
  })
}

/** How many ended in each way. */
async function counted(outcomes: readonly Promise<string>[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const outcome of await Promise.all(outcomes)) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

t.test('what waits in the queue of a listener that is closed is reset: the reason for drain', async t => {
  const listener = await opened(t)
  const outcomes = burst(listener.port, 50)
  // Node connects on the next tick.
  await new Promise(resolve => process.nextTick(resolve))
  listener.close()
  t.strictSame(await counted(outcomes), { ECONNRESET: 50 })
})

t.test('drain serves what waits in the queue, then refuses', async t => {
  const listener = await opened(t)
  const outcomes = burst(listener.port, 500)
  await listener.drain(new AbortController().signal)
  outcomes.push(...burst(listener.port, 10))
  t.strictSame(await counted(outcomes), { served: 500, ECONNREFUSED: 10 })
})

t.test('who comes while the queue is emptied is served, too', async t => {
  const listener = await opened(t)
  const outcomes = burst(listener.port, 20)
  let isClosed = false
  const drained = listener.drain(new AbortController().signal).then(() => {
    isClosed = true
  })
  let after = 0
  // Timers run before the loop looks at its sockets: a connection a turn, and so the queue is never empty.
  for (let i = 0; i < 50; i++) {
    await new Promise(resolve => setTimeout(resolve, 0))
    if (isClosed) after++
    outcomes.push(...burst(listener.port, 1))
  }
  await drained
  t.strictSame(
    await counted(outcomes),
    after > 0 ? { served: 70 - after, ECONNREFUSED: after } : { served: 70 },
  )
})

t.test('those who never stop coming do not keep it open', async t => {
  const listener = await opened(t)
  const outcomes: Promise<string>[] = []
  let isOver = false
  const flood = () => {
    outcomes.push(...burst(listener.port, 1))
    if (!isOver) setImmediate(flood)
  }
  flood()
  const began = performance.now()
  await listener.drain(new AbortController().signal)
  t.ok(performance.now() - began >= 3000, 'it waited for a pause')
  isOver = true
  t.strictSame(await counted(burst(listener.port, 1)), { ECONNREFUSED: 1 })
  await Promise.all(outcomes)
})

t.test('when the time is over it is closed at once', async t => {
  const listener = await opened(t)
  await listener.drain(AbortSignal.abort())
  t.strictSame(await counted(burst(listener.port, 1)), { ECONNREFUSED: 1 })
})
