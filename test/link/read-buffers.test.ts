import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Delivery } from '../../src/link/delivery.ts'
import { FrameReader, frame } from '../../src/link/frame.ts'
import { type Hearer, Inbox } from '../../src/link/inbox.ts'
import { Links } from '../../src/link/links.ts'
import { Unread } from '../../src/link/unread.ts'
import { acceptStatic, dialOptions, socketOptions } from '../../src/sockets/reader.ts'
import { bytes, dialLink, open } from '../attack/far-end.ts'
import { Feed, pair, soon, untilItWaits } from '../fixtures/feed.ts'
import { recordingLog } from '../fixtures/log.ts'
import { listening, receive, sha256, trustLoopback, unattended } from './bench.ts'

/**
 * What a link or a stream has read waits for a receiver that takes a part of it; meanwhile the same buffer may be read into
 * again. Once the receiver reads on every byte is what was sent.
 */

/** A link's reader, whose stream 1 is delivered to a receiver that is not reading yet. What it hears else is nothing. */
async function delivering(t: Test) {
  const { dialled: to, accepted: receiver } = await pair(t)
  const holdings = new Unread(1 << 30).join({})
  const delivery = new Delivery(holdings, {
    abort: ({ detail }) => t.fail(detail),
    taken() {},
    drained: () => delivery.drained(),
  })
  to.on('drain', () => delivery.drained())
  delivery.attach(to, undefined)
  const parts: Buffer[] = []
  const hearer: Partial<Hearer> = {
    stream: id =>
      id === 1 ? ({ data: part => delivery.deliver(part) } as ReturnType<Hearer['stream']>) : undefined,
    heardPart() {},
    heardOpen() {},
    close: why => t.fail(why),
  }
  const feed = await Feed.dialled(t, new Inbox(hearer as Hearer))
  /** One part for the stream behind these frames; then what is for nobody comes into the same buffer. */
  const send = async (before: Buffer, part: Buffer) => {
    parts.push(part)
    await feed.send(Buffer.concat([before, bytes(1, frame.data, part)]))
    // Of a read that was too much for one go the rest has its turn.
    await new Promise(resolve => setImmediate(resolve))
    await feed.send(bytes(2, frame.data, randomBytes(part.length)))
  }
  const isWhole = async () => {
    const received = receive(receiver)
    receiver.resume()
    await soon(() => delivery.isDone)
    delivery.end()
    const all = Buffer.concat(parts)
    t.same(await received, { bytes: all.length, hash: sha256(all), end: 'end' })
  }
  return { to, send, isWhole }
}

/** More than is done in one go. */
const muchWork = Buffer.concat(Array.from({ length: 20 }, (_, i) => open(10 + i, 80)))

for (const [what, before] of [
  ['at once', Buffer.alloc(0)],
  ['in a later turn', muchWork],
] as const)
  t.test(`a part of a link that is delivered ${what} waits, and the link reads on`, async t => {
    const { to, send, isWhole } = await delivering(t)
    await untilItWaits(to, () => send(before, randomBytes(32_000)))
    for (let i = 0; i < 3; i++) await send(before, randomBytes(32_000))
    await isWhole()
  })

/** Bytes that a stream's local socket sends one after the other, of which the last ones are those that wait. */
const chunksOfStream = [
  ['its own', [60_000]],
  // With the small one it gives its own buffer back.
  ['the shared', [1000, 40_000]],
] as const

for (const [whose, lengths] of chunksOfStream)
  t.test(`a stream goes on reading while a part of ${whose} buffer waits for the link`, async t => {
    const { dialled: local, accepted: source } = await pair(t, dialOptions)
    const links = new Links({
      ...unattended(),
      log: recordingLog().log,
      arrived: ({ stream }) => stream.attach(local, undefined, undefined),
    })
    links.configure(trustLoopback)
    const gate = createServer(socketOptions, socket => links.accept(socket))
    const port = await listening(gate)
    acceptStatic(gate)
    const accepted = once(gate, 'connection')
    const { socket: far } = await dialLink({ host: '127.0.0.1', port })
    const [link] = (await accepted) as [Socket]
    t.teardown(() => {
      far.destroy()
      void links.close(AbortSignal.abort())
      gate.close()
    })
    const other = await Feed.dialled(t, { read: () => true })
    // It may send as much as it likes.
    far.write(Buffer.concat([open(1, 80), bytes(1, frame.credit, Buffer.from([0x40, 0, 0, 0]))]))
    const sent: Buffer[] = []
    const send = async () => {
      for (const length of lengths) {
        const piece = randomBytes(length)
        sent.push(piece)
        const read = local.bytesRead + length
        source.write(piece)
        await soon(() => local.bytesRead >= read)
        // What was read leaves at the end of this turn.
        await new Promise(resolve => setImmediate(resolve))
      }
      await other.send(randomBytes(40_000))
    }
    await untilItWaits(link, send)
    await send()
    const received: Buffer[] = []
    const reader = new FrameReader({ part: (_, part) => received.push(Buffer.from(part)), control() {} })
    far.on('data', chunk => reader.read(chunk))
    const all = Buffer.concat(sent)
    await soon(() => received.reduce((sum, { length }) => sum + length, 0) === all.length)
    t.equal(sha256(Buffer.concat(received)), sha256(all))
  })
