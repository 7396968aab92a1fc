import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { frame } from '../../src/link/frame.ts'
import {
  decodeGreeting,
  defaults,
  encodeGreeting,
  greetingKind,
  greetingLength,
  noToken,
} from '../../src/link/greeting.ts'
import { Links } from '../../src/link/links.ts'
import { acceptStatic, socketOptions } from '../../src/sockets/reader.ts'
import { bytes } from '../attack/far-end.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, receive, trustLoopback, unattended } from './bench.ts'

/** Peers that have the key of the tunnel and mean harm, or have another version: each loses its own link only. */

async function victim(t: Test) {
  const { log, lines } = recordingLog()
  const opened: number[] = []
  const links = new Links({
    ...unattended(),
    log,
    arrived: ({ stream, port }) => {
      opened.push(port)
      stream.owner = { streamEnded() {}, halfClosed() {} }
    },
  })
  links.configure(trustLoopback)
  const server = createServer(socketOptions, socket => links.accept(socket))
  const port = await listening(server)
  acceptStatic(server)
  t.teardown(() => {
    void links.close(AbortSignal.abort())
    server.close()
  })
  const dial = async () => {
    const socket = connect({ port, host: '127.0.0.1', autoSelectFamily: false, allowHalfOpen: true })
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  /** A link with its greetings exchanged. */
  const greeted = async () => {
    const socket = await dial()
    socket.write(encodeGreeting({ ...defaults, kind: greetingKind.link, token: noToken }))
    const [welcome] = (await once(socket, 'data')) as [Buffer]
    return { socket, welcome: decodeGreeting(welcome) }
  }
  const good = await greeted()
  /** The good link still opens streams. */
  const unharmed = async () => {
    const before = opened.length
    good.socket.write(bytes(before + 1, frame.open, Buffer.from('\0\x50header')))
    await eventually(() => opened.length === before + 1)
    t.equal(good.socket.destroyed, false)
  }
  return { links, lines, opened, dial, greeted, unharmed }
}

const open = (stream: number) => bytes(stream, frame.open, Buffer.from('\0\x50header'))

async function isCut(socket: Socket): Promise<boolean> {
  return (await receive(socket)).end !== 'end'
}

t.test('another version is told which one is spoken here', async t => {
  const { dial, unharmed } = await victim(t)
  const socket = await dial()
  socket.write(encodeGreeting({ ...defaults, version: 2, kind: greetingKind.link, token: noToken }))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.equal(answer.length, greetingLength)
  t.match(decodeGreeting(answer), { kind: greetingKind.refused, version: 1 })
  await unharmed()
})

t.test('what is no greeting is cut', async t => {
  const { dial, unharmed } = await victim(t)
  const socket = await dial()
  socket.write(randomBytes(greetingLength))
  t.ok(await isCut(socket))
  await unharmed()
})

t.test('a lane with a token that was not given out, and one for a stream that has ended', async t => {
  const { dial, greeted, unharmed } = await victim(t)
  const guess = await dial()
  guess.write(encodeGreeting({ ...defaults, kind: greetingKind.lane, token: randomBytes(16) }))
  t.ok(await isCut(guess))
  const { socket, welcome } = await greeted()
  socket.write(Buffer.concat([open(1), bytes(1, frame.reset, Buffer.from([0]))]))
  await new Promise(resolve => setTimeout(resolve, 50))
  const lane = await dial()
  lane.write(encodeGreeting({ ...defaults, kind: greetingKind.lane, token: welcome.token }))
  lane.write(Buffer.from([0, 0, 0, 1]))
  t.ok(await isCut(lane))
  await unharmed()
})

const faults: Record<string, Buffer[]> = {
  'a frame that is too long': [bytes(1, frame.data, Buffer.alloc(0), 65_537)],
  'an unknown type': [bytes(1, 99, Buffer.alloc(0))],
  'a stream opened twice': [open(1), open(1)],
  'a stream without a port': [bytes(1, frame.open, Buffer.from([0]))],
  'credit beyond all measure': [
    open(1),
    ...Array.from({ length: 2 }, () => bytes(1, frame.credit, Buffer.from([0x7f, 255, 255, 255]))),
  ],
  'credit of another size': [open(1), bytes(1, frame.credit, Buffer.from([1]))],
  'data beyond its credit': [
    open(1),
    ...Array.from({ length: 9 }, () => bytes(1, frame.data, Buffer.alloc(65_536))),
  ],
  'data behind the end': [
    open(1),
    bytes(1, frame.end, Buffer.alloc(0)),
    bytes(1, frame.data, Buffer.from('x')),
  ],
  'switched twice': [
    open(1),
    bytes(1, frame.switch, Buffer.alloc(0)),
    bytes(1, frame.switch, Buffer.alloc(0)),
  ],
  'an answer to no ping': [bytes(0, frame.pong, Buffer.alloc(0))],
}

for (const [name, frames] of Object.entries(faults))
  t.test(`${name}: that link is cut`, async t => {
    const { greeted, unharmed, links } = await victim(t)
    const { socket } = await greeted()
    t.equal(links.status().length, 2)
    const cut = isCut(socket)
    for (const frame of frames) socket.write(frame)
    t.ok(await cut)
    t.equal(links.status().length, 1)
    await unharmed()
  })

t.test('100,000 streams: those beyond the limit are refused, the link lives', async t => {
  const { greeted, unharmed, links } = await victim(t)
  const { socket } = await greeted()
  let refused = 0
  socket.on('data', (chunk: Buffer) => {
    for (let at = chunk.indexOf('16384 streams'); at >= 0; at = chunk.indexOf('16384 streams', at + 1))
      refused++
  })
  for (let id = 1; id <= 100_000; id++) if (!socket.write(open(id))) await once(socket, 'drain')
  await eventually(() => refused > 80_000)
  t.equal(links.status().find(({ streams }) => streams > 1)?.streams, 16_384)
  await unharmed()
})
