import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { FrameReader, frame } from '../../src/link/frame.ts'
import { defaults, encodeGreeting, greetingKind, greetingLength } from '../../src/link/greeting.ts'
import { Links } from '../../src/link/links.ts'
import { type PingWitness, Pulse } from '../../src/link/pulse.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, unattended } from './bench.ts'

const pong = Buffer.from([0, 0, 0, 0, frame.pong, 0, 0, 0])

/** A far end that answers pings while it is told to. */
async function farEnd() {
  let isSilent = false
  let owed: Socket | undefined
  const sockets: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, socket => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('end', () => !isSilent && socket.end())
    const reader = new FrameReader({
      part() {},
      control(_, type) {
        if (type !== frame.ping) return
        if (isSilent) owed = socket
        else socket.write(pong)
      },
    })
    let greeted = 0
    socket.on('data', chunk => {
      if (greeted === 0)
        socket.write(encodeGreeting({ ...defaults, kind: greetingKind.link, token: Buffer.alloc(16) }))
      const own = Math.min(chunk.length, greetingLength - greeted)
      greeted += own
      reader.read(chunk.subarray(own))
    })
  })
  return {
    port: await listening(server),
    silence() {
      isSilent = true
    },
    /** Answers the ping that it has left unanswered. */
    speak() {
      isSilent = false
      owed?.write(pong)
    },
    close() {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

t.test('a far end that falls silent gets no new connections within a second', async t => {
  const far = await farEnd()
  const { log } = recordingLog()
  const links = new Links({ ...unattended(), log })
  links.configure({
    port: far.port,
    perPeer: 1,
    ports: new Set(),
    addresses: new Set(['127.0.0.1']),
    trusted: [],
  })
  t.teardown(async () => {
    links.drain()
    await links.close(AbortSignal.abort())
    far.close()
  })
  await eventually(() => links.status()[0]?.rtt !== undefined)
  far.silence()
  const began = performance.now()
  for (let session = links.to('127.0.0.1'); session !== undefined; session = links.to('127.0.0.1')) {
    session.open(80, Buffer.from('header'))
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  const noticed = performance.now() - began
  t.ok(noticed > 400 && noticed < 1500, `noticed after ${Math.round(noticed)} ms`)
  far.speak()
  await eventually(() => links.to('127.0.0.1') !== undefined)
})

for (const silent of [true, false])
  t.test(
    silent ? 'a far end that is gone does not hold up the end' : 'one that is there is waited for',
    async t => {
      const far = await farEnd()
      t.teardown(() => far.close())
      const { log, lines } = recordingLog()
      const links = new Links({ ...unattended(), log })
      links.configure({
        port: far.port,
        perPeer: 1,
        ports: new Set(),
        addresses: new Set(['127.0.0.1']),
        trusted: [],
      })
      await eventually(() => links.status()[0]?.rtt !== undefined)
      if (silent) far.silence()
      const signal = AbortSignal.timeout(30_000)
      await links.close(signal)
      t.notOk(signal.aborted)
      const why = silent ? 'no answer for 2.5 s' : 'the other end closed it'
      t.match(lines.at(-1), ['info', { why }, 'link down'])
      links.drain()
    },
  )

t.test(
  'pings tell of the path: each answer, and one that has been missing for 15 s, with when it was sent',
  async t => {
    let passed = 0
    const real = performance.now.bind(performance)
    t.intercept(performance, 'now', { value: () => real() + passed })
    const seen: string[] = []
    const left: number[] = []
    const roundTrips: number[] = []
    const witness: PingWitness = {
      answered: (address, roundTrip) => {
        seen.push(`answered ${address}`)
        roundTrips.push(roundTrip)
      },
      leftPing: (address, sentAt) => {
        seen.push(`left ${address}`)
        left.push(sentAt)
      },
    }
    let pings = 0
    const owner = { remoteAddress: '10.1.10.2', streams: 1, send: () => void pings++, close: () => {} }
    const pulse = new Pulse(owner, witness, true)
    t.teardown(() => pulse.stop())
    // Bulk makes the beats quick.
    pulse.hasBulk = true
    await eventually(() => pings === 1)
    pulse.answered()
    await eventually(() => pings === 2)
    const sentAt = real()
    passed = 14_000
    await new Promise(resolve => setTimeout(resolve, 250))
    t.strictSame(seen, ['answered 10.1.10.2'])
    passed = 15_000
    await eventually(() => seen.includes('left 10.1.10.2'))
    t.ok(Math.abs(left[0]! - sentAt) < 1000)
    pulse.answered()
    t.equal(seen.at(-1), 'answered 10.1.10.2')
    t.ok(roundTrips[0]! < 1000 && roundTrips[1]! >= 15_000, `${roundTrips} ms`)
  },
)
