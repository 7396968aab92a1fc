import type { connect, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startNameServer } from '../lab/name-server.ts'
import type { RawLink } from './far-end.ts'
import { tell } from './watch.ts'
import { attackWorld, farEnd, hostileLink, victimLink } from './world.ts'

/** All that outsiders can make an end log, all at once: so many lines, and in the end the truth. */

/** Milliseconds that it lasts, two windows of the log's budget, and those of a window. */
const duration = 20_000
const window = 10_000

const world = await attackWorld({
  logConnections: true,
  resolvConf: 'nameserver 127.0.0.1\n',
  forwards: `  named: { listen: ":9003", target: "flap.example:80", check: { interval: 1s } }
`,
})
t.teardown(() => world.lab.close())
const { hostile, crowd, gateway, victim, watch } = world

/** A far end: it flaps on one link, and greets and goes on all others; at last it says that its target is up, and stays. */
const flapping = async ({ module, at, ms }: { module: string; at: object; ms: number }) => {
  const { acceptLinks, bytes, frame, hear, pour, repeated } = await import(module)
  const until = Date.now() + ms
  const state = (isUp: number) => bytes(0, frame.target, Buffer.from([9000 >> 8, 9000 & 255, isUp]))
  let links = 0
  await acceptLinks(at, async ({ socket }: RawLink) => {
    links++
    if (links % 2 === 0 && Date.now() < until) {
      socket.end(bytes(0, frame.goaway)).resume()
      return
    }
    hear(socket)
    while (Date.now() < until && !socket.destroyed) {
      await pour(socket, repeated(Buffer.concat([state(0), state(1)]), 10_000))
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    socket.write(state(1))
  })
  await new Promise(resolve => setTimeout(resolve, ms))
  return links
}

/** One that dials: it comes and goes, and opens streams of each kind that is refused or reset. */
const opening = async ({ module, at, ms }: { module: string; at: object; ms: number }) => {
  const { bytes, dialLink, frame, open } = await import(module)
  const until = Date.now() + ms
  const garbage = (stream: number) => bytes(stream, frame.open, Buffer.from('\x23\x2agarbage'))
  while (Date.now() < until) {
    const link: RawLink | undefined = await dialLink(at).catch(() => undefined)
    if (link === undefined) {
      await new Promise(resolve => setTimeout(resolve, 20))
      continue
    }
    const { socket } = link
    for (let id = 1; id < 300; id += 3)
      socket.write(
        Buffer.concat([
          open(id, 9002),
          bytes(id, frame.reset, Buffer.from([0])),
          open(id + 1, 9999),
          garbage(id + 2),
        ]),
      )
    await new Promise(resolve => setTimeout(resolve, 20))
    socket.destroy()
  }
}

/** Clients that come to both forwards which are not served, and go at once, or are refused. */
const visiting = async ({ host, ms }: { host: string; ms: number }) => {
  const net = await import('node:net')
  const until = Date.now() + ms
  const visit = (port: number) =>
    new Promise<void>(resolve => {
      const socket: Socket = (net.connect as typeof connect)({ host, port, autoSelectFamily: false })
      socket.on('error', () => {})
      socket.on('close', () => resolve())
      socket.on('connect', () => socket.resetAndDestroy())
    })
  const visitor = async (port: number) => {
    while (Date.now() < until) {
      await visit(port)
      await new Promise(resolve => setTimeout(resolve, 2))
    }
  }
  await Promise.all([9001, 9003, 9001, 9003].map(visitor))
}

t.test('a log under attack', async t => {
  const server = await startNameServer(gateway)
  let isOver = false
  /** Twenty other addresses each second, where nobody answers, or none. */
  const naming = async () => {
    for (let round = 0; !isOver; round++) {
      const addresses = Array.from({ length: 20 }, (_, i) => `192.0.2.${100 + ((round * 20 + i) % 100)}`)
      await server.say({ 'flap.example': { A: round % 5 === 4 ? 'SERVFAIL' : addresses } })
      await sleep(1000)
    }
  }
  const began = Date.now()
  const from = victim.log.length
  const seen = await watch.during(async () => {
    const named = naming()
    await Promise.all([
      hostile.run(flapping, { module: farEnd, at: hostileLink, ms: duration }),
      crowd.run(visiting, { host: '203.0.113.1', ms: duration }),
      hostile.run(opening, { module: farEnd, at: victimLink, ms: duration }),
    ])
    isOver = true
    await named
  })
  tell(t, 'all at once', seen)
  // The last window ends.
  await sleep(window + 2000)
  const lines = victim.log.slice(from)
  const caused = lines.filter(({ msg, forward, sentBytes }) => {
    return !(msg === 'connection ended' && (forward === 'echo' || Number(sentBytes) > 0))
  })
  const byMessage = Object.entries(Object.groupBy(caused, ({ msg }) => `${msg}`))
  for (const [message, all] of byMessage) t.comment(`${all!.length} lines: ${message}`)
  const times = caused.map(({ time }) => Date.parse(`${time}`)).filter(time => time >= began)
  const most = Math.max(...times.map(start => times.filter(at => at >= start && at < start + window).length))
  t.ok(most <= 400, `${most} lines in ten seconds`)
  for (const [message, all] of byMessage)
    t.ok(
      all!.length <= 121 * Math.ceil((duration + 2 * window) / window),
      `${all!.length} lines of ${message}`,
    )
  t.ok(seen.livez <= 250, `/livez answers within ${seen.livez.toFixed(0)} ms`)
  t.equal(seen.failed, 0, 'no good connection is refused')
  const about = caused.filter(
    ({ msg, target }) => /^target (up|down)$/.test(`${msg}`) && target === '10.1.10.3:9000',
  )
  t.equal(about.at(-1)?.msg, 'target up', 'the last word is the truth')
})
