import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { FrameReader, frame } from '../../src/link/frame.ts'
import { defaults, encodeGreeting, greetingKind, greetingLength } from '../../src/link/greeting.ts'
import { Links } from '../../src/link/links.ts'
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
  links.configure({ port: far.port, perPeer: 1, addresses: new Set(['127.0.0.1']), trusted: [] })
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
      links.configure({ port: far.port, perPeer: 1, addresses: new Set(['127.0.0.1']), trusted: [] })
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
