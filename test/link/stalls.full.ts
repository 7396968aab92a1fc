import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Relay } from '../../src/connection/relay.ts'
import { uint32 } from '../../src/link/frame.ts'
import { Links } from '../../src/link/links.ts'
import { pieces } from '../../src/link/pieces.ts'
import { acceptStatic, dialOptions, type ReadSocket, socketOptions } from '../../src/sockets/reader.ts'
import { reset } from '../../src/sockets/reset.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, trustLoopback, unattended } from './bench.ts'

/**
 * Whole connections between two sides that write and read in fits and starts, over a tunnel that stalls, too.
 * `SEED=` plays about the same again.
 */

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
let state = seed
/** 0 up to, but not, `below`. */
function random(below: number): number {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}

/** What stands between the two ends: it carries bytes, and now and then none for a while. */
async function tunnel(t: Test, to: number) {
  const pairs = new Set<[Socket, Socket]>()
  const server = createServer({ allowHalfOpen: true }, near => {
    const far = connect({ port: to, host: '127.0.0.1', allowHalfOpen: true, autoSelectFamily: false })
    const pair: [Socket, Socket] = [near, far]
    pairs.add(pair)
    for (const [from, other] of [pair, [far, near]] as const) {
      from.on('error', () => {})
      from.on('close', () => {
        pairs.delete(pair)
        reset(other)
      })
      from.pipe(other)
    }
  })
  const port = await listening(server)
  const timer = setInterval(() => {
    for (const pair of pairs)
      for (const socket of pair)
        if (random(4) === 0) {
          socket.cork()
          setTimeout(() => socket.uncork(), random(250))
        }
  }, 100)
  t.teardown(() => {
    clearInterval(timer)
    server.close()
    for (const pair of pairs) for (const socket of pair) socket.destroy()
  })
  return {
    port,
    cut() {
      const pair = [...pairs][random(Math.min(pairs.size, 3))]
      if (pair !== undefined) reset(pair[random(2)]!)
    },
  }
}

async function world(t: Test, perPeer: number) {
  const { log } = recordingLog()
  const targets = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  const targetPort = await listening(targets)
  const dialTarget = () => connect({ ...dialOptions, host: '127.0.0.1', port: targetPort }).pause()
  const owner = () => ({ streamEnded() {}, halfClosed() {}, relayEnded() {}, begins: () => true })
  const far = new Links({
    ...unattended(),
    log,
    arrived({ stream }) {
      const socket: ReadSocket = dialTarget()
      stream.owner = { ...owner(), streamEnded: () => void socket.destroy() }
      socket.once('connect', () =>
        setTimeout(() => socket.destroyed || stream.attach(socket, undefined, undefined), random(30)),
      )
    },
  })
  far.configure(trustLoopback)
  const gate = createServer(socketOptions, socket => far.accept(socket))
  const { port: tunnelPort, cut } = await tunnel(t, await listening(gate))
  acceptStatic(gate)
  const near = new Links({ ...unattended(), log })
  const addresses = new Set(['127.0.0.1'])
  near.configure({ port: tunnelPort, perPeer, ports: new Set(), addresses, trusted: [] })
  const overLink = createServer(socketOptions, async socket => {
    while (near.to('127.0.0.1') === undefined) await sleep(5)
    if (socket.destroyed) return
    const stream = near.to('127.0.0.1')!.open(80, Buffer.from('header'))
    stream.owner = owner()
    stream.attach(socket, undefined, undefined)
  })
  const plain = createServer(socketOptions, client => {
    const target = dialTarget()
    target.once('connect', () => new Relay(client, target, undefined, 0, owner()))
  })
  const ports = [await listening(overLink), await listening(plain)]
  for (const server of [overLink, plain]) acceptStatic(server)
  t.teardown(() => {
    near.drain()
    for (const links of [near, far]) void links.close(AbortSignal.abort())
    for (const server of [overLink, plain, gate, targets]) server.close()
  })
  while (near.to('127.0.0.1') === undefined) await sleep(5)
  /** Targets' sockets by what their clients have said first. */
  const waiting = new Map<number, (target: Socket) => void>()
  let lastPair = 0
  targets.on('connection', target => {
    target.on('error', () => {})
    t.teardown(() => target.destroy())
    target.once('data', first => {
      target.pause()
      if (first.length > 4) target.unshift(first.subarray(4))
      waiting.get(first.readUInt32BE())?.(target)
    })
    target.resume()
  })
  /** A connection, over the link mostly; `undefined` when it was cut before it was there. */
  const pair = async (isPlain: boolean) => {
    const at = { port: ports[isPlain ? 1 : 0]!, host: '127.0.0.1' }
    const client = connect({ ...at, allowHalfOpen: true, autoSelectFamily: false })
    client.on('error', () => {})
    t.teardown(() => client.destroy())
    const id = ++lastPair
    client.write(uint32(id))
    // It is read, or a reset would go unnoticed; the target says nothing yet.
    client.resume()
    const gone = new Promise<undefined>(resolve => client.once('close', () => resolve(undefined)))
    const target = await Promise.race([new Promise<Socket>(resolve => waiting.set(id, resolve)), gone])
    client.pause()
    return target && { client, target }
  }
  return { pair, near, far, cut }
}

/** Writes in fits and starts, then ends. Resolves to what it wrote. */
async function write(socket: Socket): Promise<string> {
  const hash = createHash('sha256')
  for (let rounds = random(12); rounds > 0 && !socket.destroyed; rounds--) {
    const kind = random(5)
    const sizes =
      kind < 2
        ? Array.from({ length: random(400) }, () => 1 + random(120))
        : kind === 2
          ? Array.from({ length: random(20) }, () => 4096 - 4 + random(9))
          : kind === 3
            ? [262_144 * (1 + random(3)) + random(3) - 1]
            : [random(1_500_000)]
    for (const size of sizes) {
      const bytes = randomBytes(size)
      hash.update(bytes)
      socket.write(bytes)
      if (kind < 2 && random(10) === 0) await sleep(random(3))
    }
    if (random(3) === 0) await sleep(random(150))
  }
  socket.end()
  return hash.digest('hex')
}

/** Reads in fits and starts. Resolves to what came, and how it ended. */
function read(socket: Socket): Promise<{ hash: string; bytes: number; end: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  const slow = random(4)
  socket.on('data', chunk => {
    hash.update(chunk)
    bytes += chunk.length
    if (slow === 0 || random(slow === 1 ? 3 : 15) > 0) return
    socket.pause()
    setTimeout(() => socket.resume(), random(slow === 3 ? 300 : 20))
  })
  setTimeout(() => socket.resume(), random(400))
  return new Promise(resolve => {
    for (const end of ['end', 'error', 'close'])
      socket.once(end, () => resolve({ hash: hash.copy().digest('hex'), bytes, end }))
  })
}

for (const [name, perPeer, cuts] of [
  ['one link', 1, 0],
  ['four links', 4, 0],
  ['links that are cut', 2, 3],
] as const)
  t.test(`${name}, seed ${seed}`, { timeout: 600_000 }, async t => {
    const { pair, near, far, cut } = await world(t, perPeer)
    let [whole, cutOff] = [0, 0]
    const one = async () => {
      const ends = await pair(random(5) === 0)
      if (ends === undefined) return
      const { client, target } = ends
      const late = AbortSignal.timeout(25_000)
      const both = Promise.all([write(client), write(target), read(client), read(target)])
      const result = await Promise.race([both, once(late, 'abort').then(() => undefined)])
      if (result === undefined) {
        const read = [client, target].map(({ bytesRead, bytesWritten }) => [bytesRead, bytesWritten])
        t.fail(`a connection hangs; read and written: ${JSON.stringify(read)}`)
        return
      }
      const [fromClient, fromTarget, toClient, toTarget] = result
      for (const [sent, got] of [
        [fromClient, toTarget],
        [fromTarget, toClient],
      ] as const) {
        if (got.end === 'end') {
          whole++
          if (got.hash !== sent) t.fail(`other bytes: ${got.bytes}`)
        } else if (cuts > 0) cutOff++
        else t.fail(`ended with ${got.end}`)
      }
    }
    for (let i = 0; i < 4; i++) {
      const all: Promise<void>[] = []
      for (let j = 0; j < 25; j++) all.push(one())
      for (let j = 0; j < cuts; j++) setTimeout(cut, 100 + random(900))
      await Promise.all(all)
    }
    t.comment(`${whole} whole, ${cutOff} cut`)
    await eventually(() => [...near.status(), ...far.status()].every(({ streams }) => streams === 0))
    t.equal(pieces.used, 0)
  })
