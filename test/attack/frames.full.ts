import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { retry } from '../lab/retry.ts'
import { frame, type RawLink } from './far-end.ts'
import { type Seen, tell, unharmed } from './watch.ts'
import { attackWorld, farEnd, hostileLink, victimLink } from './world.ts'

/** A far end that sends the same frames for as long as it likes, or comes and goes: it costs the victim next to nothing. */

const world = await attackWorld()
t.teardown(() => world.lab.close())
const { hostile, victim, watch } = world
/** Milliseconds; the victim dials a far end that greets and goes only once a minute in the end. */
const redialled = 65_000
const alone = await watch.alone()
tell(t, 'alone', alone)

/** A link, and how to know that the victim has read all of it. */
interface Heard {
  readonly socket: Socket
  readonly ping: () => Promise<boolean>
}

/** Takes the links that the victim dials, and keeps them. */
async function takeLinks(): Promise<void> {
  await hostile.run(
    async ({ module, at }, { state }) => {
      const { acceptLinks, bytes, frame, hear } = await import(module)
      const links: Heard[] = []
      state.set('links', links)
      const first = Promise.withResolvers<void>()
      await acceptLinks(at, (link: RawLink) => {
        const leave = state.get('leave') as (() => number) | undefined
        if (leave === undefined) links.push({ socket: link.socket, ping: hear(link.socket) })
        else link.socket.end(leave() % 2 === 0 ? bytes(0, frame.goaway) : undefined).resume()
        first.resolve()
      })
      await first.promise
    },
    { module: farEnd, at: hostileLink },
  )
}

/**
 * Pours frames into the latest of them, and waits until the victim has read them all: it answers a ping behind them, or
 * has ended the link. So many at least, and for so many milliseconds; `ofClient`: they are about the stream of a client.
 */
async function pourThere(what: {
  type: number
  payloads?: readonly string[]
  count: number
  ms?: number
  ofClient?: boolean
}): Promise<boolean> {
  return hostile.run(
    async ({ module, type, payloads = [''], count, ms = 0, ofClient = false }, { state }) => {
      const { bytes, pour, repeated } = await import(module)
      const links = state.get('links') as Heard[]
      const { socket, ping } = links.findLast(({ socket }) => !socket.readableEnded)!
      const stream = ofClient ? 1 : 0
      const piece = Buffer.concat(payloads.map(hex => bytes(stream, type, Buffer.from(hex, 'hex'))))
      const until = Date.now() + ms
      do await pour(socket, repeated(piece, Math.ceil(count / payloads.length)))
      while (Date.now() < until && !socket.destroyed)
      return ping()
    },
    { module: farEnd, ...what },
  )
}

/** Until there is one that the victim has not ended. */
async function linked(): Promise<void> {
  await retry(
    () =>
      hostile.run((_, { state }) => {
        if ((state.get('links') as Heard[]).every(({ socket }) => socket.readableEnded))
          throw new Error('no link')
      }),
    redialled,
  )
}

async function attacked(t: Test, what: string, attack: () => Promise<unknown>): Promise<Seen> {
  const before = watch.memory
  const seen = await watch.during(attack)
  tell(t, what, seen)
  // Of a few connections one that is slow is no 99th of 100.
  if (seen.connections > 50) unharmed(t, alone, seen)
  t.equal(seen.failed, 0, 'no good connection is refused')
  t.ok(seen.livez <= 250, `/livez answers within ${seen.livez.toFixed(0)} ms`)
  t.ok(seen.memory < before + 64, `from ${before.toFixed(0)} to ${seen.memory.toFixed(0)} MiB`)
  t.ok(seen.lines <= 200, `${seen.lines} lines`)
  return seen
}

t.test('frames that say something of a link, again and again', { timeout: 200_000 }, async t => {
  await takeLinks()
  await victim.logged(({ msg, address }) => msg === 'link up' && `${address}`.startsWith('10.1.10.3'))
  const ms = 2000
  const up = '232801'
  const down = '232800'
  await attacked(t, 'a target that flaps, 8 MB and more', () =>
    pourThere({ type: frame.target, payloads: [down, up], count: 760_000, ms }),
  )
  const ports = Array.from({ length: 65_536 }, (_, port) => port.toString(16).padStart(4, '0'))
  await attacked(t, 'the same of all ports', () =>
    pourThere({ type: frame.target, payloads: ports.flatMap(p => [`${p}00`, `${p}01`]), count: 760_000, ms }),
  )
  for (const count of [20_000, 40_000]) {
    await attacked(t, `${count} goaway, of a link without streams`, () =>
      pourThere({ type: frame.goaway, count }),
    )
    await linked()
  }
  await attacked(t, 'pings', () => pourThere({ type: frame.ping, count: 1 << 20, ms }))
  await retry(async () => {
    // Again each time: a check of its target, which there is not, has another word to say.
    await pourThere({ type: frame.target, payloads: [up], count: 1 })
    await world.crowd.run(async (_, { openSocket, state }) => {
      const sockets = []
      for (let i = 0; i < 8; i++) sockets.push(await openSocket({ host: '203.0.113.1', port: 9001 }))
      state.set('sockets', sockets)
    })
  }, redialled)
  for (const [what, type, payload] of [
    ['credit 0', frame.credit, '00000000'],
    ['want', frame.want, ''],
    ['end', frame.end, ''],
  ] as const)
    await attacked(t, what, () =>
      pourThere({ type, payloads: [payload], count: 700_000, ms, ofClient: true }),
    )
  for (const count of [20_000, 40_000, 1 << 20])
    await attacked(t, `${count} goaway`, () => pourThere({ type: frame.goaway, count }))
})

t.test('streams that are opened and reset', async t => {
  for (const [what, port] of [
    ['to a target', 9002],
    ['to no listener', 1],
  ] as const)
    await attacked(t, `50,000 ${what}`, () =>
      hostile.run(
        async ({ module, at, port }) => {
          const { bytes, dialLink, frame, hear, open, pour } = await import(module)
          const { socket }: RawLink = await dialLink(at)
          const ping = hear(socket)
          const pieces = function* () {
            for (let from = 0; from < 50_000; from += 1000)
              yield Buffer.concat(
                Array.from({ length: 1000 }, (_, i) => from + i + 1).flatMap(id => [
                  open(id, port),
                  bytes(id, frame.reset, Buffer.from([0])),
                ]),
              )
          }
          await pour(socket, pieces())
          await ping()
          socket.destroy()
        },
        { module: farEnd, at: victimLink, port },
      ),
    )
})

t.test('a far end that comes and goes', async t => {
  await attacked(t, '1000 links that end behind their greeting', () =>
    hostile.run(
      async ({ module, at }) => {
        const { dialLink } = await import(module)
        for (let i = 0; i < 1000; i++) {
          const link: RawLink | undefined = await dialLink(at).catch(() => undefined)
          link?.socket.destroy()
        }
      },
      { module: farEnd, at: victimLink },
    ),
  )
  let links = 0
  await attacked(t, '10 s of links that are taken and left', async () => {
    links = await hostile.run(async (_, { state }) => {
      let links = 0
      state.set('leave', () => links++)
      for (const { socket } of (state.get('links') as Heard[]).splice(0)) socket.destroy()
      await new Promise(resolve => setTimeout(resolve, 10_000))
      return links
    })
  })
  t.ok(links <= 60, `${links} links were dialled`)
})
