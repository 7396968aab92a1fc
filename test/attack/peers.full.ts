import t, { type Test } from 'tap'
import type { Host } from '../lab/lab.ts'
import type { RawLink } from './far-end.ts'
import { tell, unharmed } from './watch.ts'
import { attackWorld, farEnd, victimLink } from './world.ts'

/**
 * A gateway that may hold 1000 files, and a peer, or the clients of one forward, that want all of them. The clients of
 * another peer's forward are measured beside.
 */
const world = await attackWorld({
  files: 1000,
  forwards: `  flooded: { listen: ":9003", target: "127.0.0.1:9100", sendProxy: false }
  asleep:  { listen: ":9004", target: "127.0.0.1:9101", sendProxy: false }`,
})
t.teardown(() => world.lab.close())
const { hostile, crowd, gateway, victim, watch } = world
const alone = await watch.alone()
tell(t, 'alone', alone)

interface Attack {
  readonly module: string
  readonly at: { readonly host: string; readonly port: number }
  /** Milliseconds that it is kept up. */
  readonly ms: number
}

/** What runs there for a while harms nobody else, and leaves nothing behind. */
async function harmless(
  t: Test,
  what: string,
  from: Host,
  attack: (options: Attack) => Promise<unknown>,
  most: { readonly files: number; readonly lines: number },
  at: Attack['at'] = victimLink,
) {
  const before = { memory: watch.memory, descriptors: watch.descriptors }
  const seen = await watch.during(async () => {
    const told = await from.run(attack, { module: farEnd, at, ms: 4000 })
    t.comment(`${what}: ${JSON.stringify(told)}`)
  })
  tell(t, what, seen)
  unharmed(t, alone, seen)
  t.ok(
    seen.descriptors - before.descriptors <= most.files,
    `${seen.descriptors - before.descriptors} files more`,
  )
  t.ok(seen.lines <= most.lines, `${seen.lines} lines`)
  const { memory, descriptors } = await watch.settled(before, Number.POSITIVE_INFINITY)
  t.ok(
    descriptors <= before.descriptors * 1.1,
    `${descriptors} files afterwards, ${before.descriptors} before`,
  )
  t.comment(`${what}: ${before.memory.toFixed(0)} MiB before, ${memory.toFixed(0)} afterwards`)
}

t.test('900 connections to the port of the link that say nothing', t =>
  harmless(
    t,
    'silent',
    hostile,
    async ({ module, at, ms }) => {
      const { dial } = await import(module)
      const all = await Promise.allSettled(Array.from({ length: 900 }, () => dial(at)))
      await new Promise(resolve => setTimeout(resolve, ms))
      const sockets = all.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
      for (const socket of sockets) socket.destroy()
      return { connected: sockets.length }
    },
    { files: 70, lines: 60 },
  ),
)

t.test('1000 links, again and again', t =>
  harmless(
    t,
    'links',
    hostile,
    async ({ module, at, ms }) => {
      const { dialLink } = await import(module)
      const until = Date.now() + ms
      let taken = 0
      while (Date.now() < until) {
        const all = await Promise.allSettled(Array.from({ length: 200 }, () => dialLink(at)))
        for (const one of all)
          if (one.status === 'fulfilled') {
            taken++
            one.value.socket.destroy()
          }
      }
      return { taken }
    },
    { files: 120, lines: 120 },
  ),
)

t.test('lanes for one stream, for streams that never come, and without a word', t =>
  harmless(
    t,
    'lanes',
    hostile,
    async ({ module, at, ms }) => {
      const { dialLane, dialLink } = await import(module)
      const links: RawLink[] = await Promise.all(Array.from({ length: 8 }, () => dialLink(at)))
      const all = await Promise.allSettled(
        Array.from({ length: 1000 }, async (_, i) => {
          const { greeting } = links[i % links.length]!
          const lane = await dialLane(at, greeting.token)
          if (i % 3 === 0) lane.write(Buffer.from([0, 0, 0, 9]))
          if (i % 3 === 1) lane.write(Buffer.from([0, 0, i >> 8, i & 255]))
          return lane.resume()
        }),
      )
      await new Promise(resolve => setTimeout(resolve, ms))
      const sockets = all.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
      const left = sockets.filter(socket => !socket.destroyed).length
      // The lanes stay: they end with their links.
      for (const { socket } of links) socket.destroy()
      return { left }
    },
    { files: 160, lines: 120 },
  ),
)

t.test('16,000 streams on 8 links', t =>
  harmless(
    t,
    'streams',
    hostile,
    async ({ module, at, ms }) => {
      const { dialLink, open, pour } = await import(module)
      const links: RawLink[] = await Promise.all(Array.from({ length: 8 }, () => dialLink(at)))
      await Promise.all(
        links.map(({ socket }) => {
          socket.resume()
          return pour(
            socket,
            Array.from({ length: 2000 }, (_, i) => open(i + 1, 9002, 1024 + i)),
          )
        }),
      )
      await new Promise(resolve => setTimeout(resolve, ms))
      for (const { socket } of links) socket.destroy()
    },
    { files: 800, lines: 120 },
  ),
)

t.test('3000 clients of another forward, who stay', t =>
  harmless(
    t,
    'flooded forward',
    crowd,
    async ({ module, at, ms }) => {
      const { dial } = await import(module)
      const all = await Promise.allSettled(Array.from({ length: 3000 }, () => dial(at)))
      await new Promise(resolve => setTimeout(resolve, ms))
      const sockets = all.flatMap(one => (one.status === 'fulfilled' ? [one.value] : []))
      for (const socket of sockets) socket.destroy()
    },
    { files: 800, lines: 60 },
    { host: '203.0.113.1', port: 9003 },
  ),
)

t.test('clients that reset before a target that never reads', async t => {
  await gateway.run(async () => {
    const { createServer } = await import('node:net')
    const server = createServer(socket => socket.on('error', () => {}).pause())
    await new Promise<void>(resolve => server.listen(9101, '127.0.0.1', resolve))
  }, undefined)
  await harmless(
    t,
    'vanished',
    crowd,
    async ({ module, at, ms }) => {
      const { dial } = await import(module)
      const all = await Promise.all(Array.from({ length: 8 }, () => dial(at)))
      const piece = Buffer.alloc(1 << 20)
      for (const socket of all) for (let i = 0; i < 10; i++) socket.write(piece)
      await new Promise(resolve => setTimeout(resolve, ms / 2))
      for (const socket of all) socket.resetAndDestroy()
    },
    { files: 30, lines: 20 },
    { host: '203.0.113.1', port: 9004 },
  )
  t.equal(victim.log.filter(({ msg }) => msg === 'unexpected error; please report it').length, 0)
})
