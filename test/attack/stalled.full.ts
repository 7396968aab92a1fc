import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Tools } from '../lab/agent.ts'
import type { RawLink } from './far-end.ts'
import { type Seen, tell, unharmed } from './watch.ts'
import { attackWorld, farEnd, victimLink } from './world.ts'

/** Who does not read, in the whole world: what the victim's memory is while it lasts, and afterwards. */

/** An address of the hostile peer's cable where nobody is: a connect there waits. */
const nowhere = '198.51.101.77'
const world = await attackWorld({
  forwards: `  away: { listen: "tunnel:9003", target: "${nowhere}:9", sendProxy: false, check: false, timeouts: { connect: 30s } }`,
})
t.teardown(() => world.lab.close())
await world.gateway.exec(
  'ip',
  'neigh',
  'add',
  nowhere,
  'lladdr',
  '02:00:00:00:00:77',
  'dev',
  await cable(),
  'nud',
  'permanent',
)
await world.crowd.exec('sysctl', '-qw', 'net.ipv4.tcp_rmem=4096 4096 8192')

async function cable(): Promise<string> {
  return /dev (\S+)/.exec(await world.gateway.exec('ip', 'route', 'get', nowhere))![1]!
}

/** MiB that an end under load takes beside what the attack may cost: more compiled code, more young objects. */
const beside = 24

/** Runs it beside ordinary traffic over the same link; it may cost so many MiB, and half as much again. */
async function attacked(
  t: Test,
  allowed: number,
  attack: () => Promise<unknown>,
  after: () => Promise<unknown>,
) {
  await world.good.run(talk, { host: '192.0.2.1', port: 9000 })
  const alone = await world.watch.alone(3000)
  tell(t, 'alone', alone)
  const seen: Seen = await world.watch.during(attack)
  tell(t, 'attacked', seen)
  await world.good.run(hush)
  await after()
  unharmed(t, alone, seen)
  const grown = seen.memory - alone.memory
  t.ok(grown <= allowed * 1.5 + beside, `${grown.toFixed(0)} MiB more, ${allowed} allowed`)
  const settled = await world.watch.settled(alone, beside)
  t.comment(`afterwards ${settled.memory.toFixed(0)} MiB, ${settled.descriptors} files`)
  t.ok(settled.memory <= alone.memory * 1.1 + beside, 'and gives it back')
  t.ok(settled.descriptors <= alone.descriptors * 1.1, 'with its descriptors')
}

for (const clients of [10, 30])
  t.test(`${clients} clients that ask for small messages and never read`, async t => {
    await attacked(
      t,
      clients / 4,
      () => world.crowd.run(ask, { host: '203.0.113.1', port: 9000, clients, seconds: 14 }),
      () => world.crowd.run(leave),
    )
  })

t.test('a stalled stream, with much beside it for another one', async t => {
  await attacked(
    t,
    0.25,
    () => world.hostile.run(stallOne, { module: farEnd, at: victimLink, megabytes: 200 }),
    () => world.hostile.run(leave),
  )
})

t.test('94 MB of one-byte frames for streams without a local socket', async t => {
  await attacked(
    t,
    10.4,
    () => world.hostile.run(fill, { module: farEnd, at: victimLink, links: 1, streams: 40, piece: 1 }),
    () => world.hostile.run(leave),
  )
})

t.test('a far end that sends frames and reads nothing', async t => {
  await attacked(
    t,
    8,
    () => world.hostile.run(ping, { module: farEnd, at: victimLink, frames: 6_000_000 }),
    () => world.hostile.run(leave),
  )
})

t.test('eight full links', async t => {
  await attacked(
    t,
    64,
    () => world.hostile.run(fill, { module: farEnd, at: victimLink, links: 8, streams: 64, piece: 65_536 }),
    () => world.hostile.run(leave),
  )
})

/** Ordinary traffic: questions and answers on eight connections. Runs in an agent, as all that follows. */
async function talk(at: { host: string; port: number }, { state }: Tools): Promise<void> {
  const { connect } = await import('node:net')
  const question = Buffer.alloc(6000)
  const sockets = Array.from({ length: 8 }, () => {
    const socket = connect({ ...at, autoSelectFamily: false })
    let missing = question.length
    socket.on('data', chunk => {
      missing -= chunk.length
      if (missing > 0) return
      missing = question.length
      socket.write(question)
    })
    socket.on('error', () => {})
    socket.write(question)
    return socket
  })
  state.set('talking', sockets)
}

async function hush(_: undefined, { state }: Tools): Promise<void> {
  for (const socket of state.get('talking') as Socket[]) socket.destroy()
}

/** The echo is what they ask for. */
async function ask(
  { host, port, clients, seconds }: { host: string; port: number; clients: number; seconds: number },
  { state }: Tools,
): Promise<void> {
  const { connect } = await import('node:net')
  const message = Buffer.alloc(100)
  const sockets = Array.from({ length: clients }, () =>
    connect({ host, port, autoSelectFamily: false, noDelay: true })
      .on('error', () => {})
      .pause(),
  )
  state.set('sockets', sockets)
  const asking = setInterval(() => {
    for (const socket of sockets) if (socket.writableLength < 1 << 20) socket.write(message)
  }, 3)
  await new Promise(resolve => setTimeout(resolve, seconds * 1000))
  clearInterval(asking)
}

async function leave(_: undefined, { state }: Tools): Promise<void> {
  for (const socket of state.get('sockets') as Socket[]) socket.destroy()
}

interface Attack {
  readonly module: string
  readonly at: typeof victimLink
}

/** Stream 1 gets no credit for its answers, so that its echo takes no more; what stream 2 sends comes back. */
async function stallOne(
  { module, at, megabytes }: Attack & { megabytes: number },
  { state }: Tools,
): Promise<void> {
  const { bytes, dialLink, frame, open } = await import(module)
  const { socket }: RawLink = await dialLink(at)
  state.set('sockets', [socket])
  const uint32 = (value: number) => Buffer.from([value >>> 24, value >>> 16, value >>> 8, value])
  const credit = new Map([
    [1, 262_144],
    [2, 262_144],
  ])
  let rest = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk])
    for (let length = 0; rest.length >= 8; rest = rest.subarray(8 + length)) {
      length = rest.readUIntBE(5, 3)
      if (rest.length < 8 + length) return
      const id = rest.readUInt32BE()
      if (rest[4] === frame.credit) credit.set(id, credit.get(id)! + rest.readUInt32BE(8))
    }
  })
  socket.write(Buffer.concat([open(1, 9002), open(2, 9002), bytes(2, frame.credit, uint32(2 ** 30))]))
  const message = bytes(1, frame.data, Buffer.alloc(100))
  const much = bytes(2, frame.data, Buffer.alloc(65_536))
  for (let sent = 0; sent < megabytes << 20 && !socket.destroyed; ) {
    const pieces: Buffer[] = []
    for (let i = 0; i < 20 && credit.get(1)! >= 100; i++) {
      credit.set(1, credit.get(1)! - 100)
      pieces.push(message)
    }
    if (credit.get(2)! >= 65_536) {
      credit.set(2, credit.get(2)! - 65_536)
      pieces.push(much)
      sent += 65_536
    }
    socket.write(Buffer.concat(pieces))
    await new Promise(resolve => setTimeout(resolve, socket.writableLength > 1 << 20 ? 5 : 0))
  }
}

/** Each stream with all that it may be sent, in pieces of so many bytes. */
async function fill(
  { module, at, links, streams, piece }: Attack & { links: number; streams: number; piece: number },
  { state }: Tools,
): Promise<void> {
  const { bytes, dialLink, frame, open, pour, repeated } = await import(module)
  const sockets: Socket[] = []
  state.set('sockets', sockets)
  const full = function* () {
    for (let id = 1; id <= streams; id++) {
      yield open(id, 9003)
      yield* repeated(bytes(id, frame.data, Buffer.alloc(piece)), 262_144 / piece)
    }
  }
  for (let i = 0; i < links; i++) {
    const { socket }: RawLink = await dialLink(at)
    socket.resume()
    sockets.push(socket)
    await pour(socket, full()).catch(() => {})
  }
  await new Promise(resolve => setTimeout(resolve, 1000))
}

async function ping({ module, at, frames }: Attack & { frames: number }, { state }: Tools): Promise<void> {
  const { bytes, dialLink, frame, pour, repeated } = await import(module)
  const { socket }: RawLink = await dialLink(at)
  state.set('sockets', [socket])
  const closed = new Promise(resolve => socket.once('close', resolve))
  await Promise.race([pour(socket, repeated(bytes(0, frame.ping), frames)).catch(() => {}), closed])
}
