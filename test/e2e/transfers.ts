import { createHash } from 'node:crypto'
import type { Test } from 'tap'
import type { Opening, Tools } from '../lab/agent.ts'
import { address, type Topology } from './topology.ts'

/** Megabytes each way: short in `npm test`, long in `npm run test:full`. */
const megabytes = process.env.WG_PUNCHHOLE_TEST === 'full' ? 300 : 30

/**
 * Bytes from the client to a raw TCP server on the cluster's 127.0.0.1:`port`, reached through the gateway's `port`.
 * `resets`: whether both ends pass a reset on; HAProxy makes a clean end of it.
 */
export function transfers(t: Test, world: Topology, port: number, { resets }: { resets: boolean }): void {
  const host = address.gateway[4]

  t.before(() => world.cluster.run((port, { listen }) => listen(port), port))

  t.test(`${megabytes} MB each way at once arrive whole`, { timeout: 240_000 }, async t => {
    const served = world.cluster.run(exchange, { opening: { listen: port }, seed: 'cluster', megabytes })
    const client = await world.client.run(exchange, { opening: { host, port }, seed: 'client', megabytes })
    const cluster = await served
    t.equal(client.received, cluster.sent)
    t.equal(cluster.received, client.sent)
    t.equal(client.sent, digest('client'), 'it was what should have been sent')
  })

  for (const first of ['client', 'cluster'] as const) {
    t.test(`half-close: the ${first} ends first, the other still sends`, async t => {
      const served = world.cluster.run(halfClose, { opening: { listen: port }, first: first === 'cluster' })
      const client = await world.client.run(halfClose, { opening: { host, port }, first: first === 'client' })
      t.same(client, { received: 'all of it', ended: true })
      t.same(await served, { received: 'all of it', ended: true })
    })
    if (!resets) continue
    t.test(`a reset by the ${first} arrives as a reset`, async t => {
      const served = world.cluster.run(reset, { opening: { listen: port }, resets: first === 'cluster' })
      const client = await world.client.run(reset, { opening: { host, port }, resets: first === 'client' })
      t.equal(first === 'client' ? await served : client, 'ECONNRESET')
    })
  }
}

/** The stream that `seed` stands for. */
function digest(seed: string): string {
  const hash = createHash('sha256')
  const block = createHash('sha512').update(seed).digest()
  const megabyte = Buffer.alloc(1 << 20, block)
  for (let i = 0; i < megabytes; i++) {
    megabyte.writeUInt32BE(i)
    hash.update(megabyte)
  }
  return hash.digest('hex')
}

// What follows is sent to the hosts as text: each function stands alone.

async function exchange(
  { opening, seed, megabytes }: { opening: Opening; seed: string; megabytes: number },
  { openSocket }: Tools,
) {
  const { createHash } = await import('node:crypto')
  const {
    EventEmitter: { once },
  } = await import('node:events')
  const socket = await openSocket(opening)
  const sent = createHash('sha256')
  const received = createHash('sha256')
  socket.on('data', chunk => received.update(chunk))
  const ended = once(socket, 'end')
  const block = createHash('sha512').update(seed).digest()
  for (let i = 0; i < megabytes; i++) {
    const megabyte = Buffer.alloc(1 << 20, block)
    megabyte.writeUInt32BE(i)
    sent.update(megabyte)
    if (!socket.write(megabyte)) await once(socket, 'drain')
  }
  socket.end()
  await ended
  return { sent: sent.digest('hex'), received: received.digest('hex') }
}

async function halfClose({ opening, first }: { opening: Opening; first: boolean }, { openSocket }: Tools) {
  const {
    EventEmitter: { once },
  } = await import('node:events')
  const socket = await openSocket(opening)
  let received = ''
  socket.setEncoding('utf8').on('data', text => {
    received += text
  })
  if (first) socket.end('all of it')
  await once(socket, 'end')
  if (!first) {
    socket.write('all ')
    await new Promise(resolve => setImmediate(resolve))
    socket.end('of it')
  }
  return { received, ended: socket.readableEnded }
}

async function reset({ opening, resets }: { opening: Opening; resets: boolean }, { openSocket }: Tools) {
  const {
    EventEmitter: { once },
  } = await import('node:events')
  const socket = await openSocket(opening)
  socket.write('hello')
  await once(socket, 'data')
  if (resets) {
    socket.resetAndDestroy()
    return 'reset'
  }
  return new Promise<string>(resolve => {
    socket.once('error', error => resolve((error as NodeJS.ErrnoException).code!))
    socket.once('end', () => resolve('a clean end'))
  })
}
