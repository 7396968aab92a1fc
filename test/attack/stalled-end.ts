import { connect, createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { Relay } from '../../src/connection/relay.ts'
import { Links } from '../../src/link/links.ts'
import { pieces } from '../../src/link/pieces.ts'
import type { Stream } from '../../src/link/stream.ts'
import { acceptStatic, dialOptions, type ReadSocket, socketOptions } from '../../src/sockets/reader.ts'
import { recordingLog } from '../fixtures/log.ts'
import { listening, trustLoopback, unattended } from '../link/bench.ts'

/**
 * A process with the parts of an end in which bytes can wait, and nothing else: its memory is theirs. It takes links, and
 * joins each stream with a connection to the port that it is for, on loopback, or with nothing when that is 1. Clients of
 * its plain port are relayed to the port that it was told. Sent `measure`, it tells what it holds.
 */
export interface Ports {
  readonly link: number
  readonly plain: number
}

export interface Held {
  /** MiB: resident memory after a collection, and the most that it ever was. */
  readonly used: number
  readonly peak: number
  /** Pieces of memory in which bytes wait. */
  readonly pieces: number
  readonly links: number
  readonly streams: number
  /** Streams on lanes. */
  readonly promoted: number
}

const noTarget = 1
const plainTarget = Number(process.argv[2])
const owner = { streamEnded() {}, halfClosed() {}, relayEnded() {}, begins: () => true }
const streams = new Set<Stream>()

const links = new Links({
  ...unattended(),
  log: recordingLog().log,
  arrived({ stream, port }) {
    stream.owner = { halfClosed() {}, streamEnded: () => void streams.delete(stream) }
    streams.add(stream)
    if (port === noTarget) return
    const socket: ReadSocket = connect({ ...dialOptions, host: '127.0.0.1', port }).pause()
    socket.once('connect', () => stream.attach(socket, undefined, undefined))
  },
})
links.configure(trustLoopback)
const gate = createServer(socketOptions, socket => links.accept(socket))
const plain = createServer(socketOptions, client => {
  const target = connect({ ...dialOptions, host: '127.0.0.1', port: plainTarget }).pause()
  target.once('connect', () => new Relay(client, target, undefined, 0, owner))
})
const ports: Ports = { link: await listening(gate), plain: await listening(plain) }
for (const server of [gate, plain]) acceptStatic(server)

process.on('message', async () => {
  // The first finds what is dead, the next one what only that referred to.
  for (let i = 0; i < 3; i++) {
    globalThis.gc!()
    await pause(10)
  }
  const held: Held = {
    used: process.memoryUsage.rss() / 2 ** 20,
    peak: process.resourceUsage().maxRSS / 1024,
    links: links.status().length,
    streams: streams.size,
    promoted: links.status().reduce((sum, { promoted }) => sum + promoted, 0),
    pieces: pieces.used,
  }
  process.send!(held)
})
process.send!(ports)
