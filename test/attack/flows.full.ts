import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { tell, unharmed } from './watch.ts'
import { attackWorld } from './world.ts'

/**
 * A gateway with UDP forwards under a flood of new flows, of idle ones and of large datagrams from a thousand addresses.
 * Good clients of a TCP forward, and one of the flooded UDP forward itself, are measured beside.
 */
const world = await attackWorld({
  files: 12_000,
  forwards: `  flood: { protocol: udp, newConnectionsPerSecond: 100000, timeouts: { udp: 5s }, listen: ":9053", target: "127.0.0.1:9153", sendProxy: false }
  rate:  { protocol: udp, timeouts: { udp: 5s }, listen: ":9054", target: "127.0.0.1:9153", sendProxy: false, newConnectionsPerSecond: 200 }
  gone:  { protocol: udp, newConnectionsPerSecond: 100000, timeouts: { udp: 5s }, listen: ":9055", target: "127.0.0.1:9", sendProxy: false }
  name:  { protocol: udp, newConnectionsPerSecond: 100000, timeouts: { udp: 5s }, listen: ":9056", target: "nobody.invalid:53", sendProxy: false }`,
})
t.teardown(() => world.lab.close())
const { crowd, good, gateway, watch } = world

// Addresses of the crowd beside its own, and the way back to them.
await crowd.exec('ip', 'route', 'add', 'local', '100.64.0.0/16', 'dev', 'lo')
await gateway.exec('ip', 'route', 'add', '100.64.0.0/16', 'via', '203.0.113.7')
await gateway.run(async (port: number) => {
  const { createSocket } = await import('node:dgram')
  const socket = createSocket('udp4')
  socket.on('message', (bytes, { port, address }) => socket.send(bytes.subarray(0, 100), port, address))
  await new Promise<void>(resolve => socket.bind(port, '127.0.0.1', resolve))
}, 9153)

/** Asks again and again, each time with another text. Runs in an agent. */
async function ask(
  { port, every }: { port: number; every: number },
  { state }: { state: Map<string, unknown> },
) {
  const { createSocket } = await import('node:dgram')
  const socket = createSocket('udp4')
  const [waiting, counts] = [new Set<string>(), { asked: 0, answered: 0, strange: 0 }]
  socket.on('message', bytes => (waiting.delete(`${bytes}`) ? counts.answered++ : counts.strange++))
  await new Promise<void>(resolve => socket.connect(port, '192.0.2.1', resolve))
  const timer = setInterval(() => {
    const text = `good ${counts.asked++}`
    waiting.add(text)
    socket.send(text)
  }, every)
  state.set('asked', async () => {
    clearInterval(timer)
    await new Promise(resolve => setTimeout(resolve, 500))
    socket.close()
    return counts
  })
}

interface Flood {
  readonly port: number
  readonly ms: number
  /** New flows a second, and bytes of each datagram. */
  readonly rate: number
  readonly bytes: number
}

/** Each datagram from an address and port of its own. Runs in an agent; gives how many were sent. */
async function flood({ port, ms, rate, bytes }: Flood) {
  const { createSocket } = await import('node:dgram')
  const payload = Buffer.alloc(bytes, 'x')
  const until = Date.now() + ms
  const began = Date.now()
  let sent = 0
  while (Date.now() < until) {
    while (sent < ((Date.now() - began) / 1000) * rate) {
      const socket = createSocket({ type: 'udp4', lookup: (host, _, done) => done(null, host, 4) })
      socket.on('error', () => {})
      const i = sent++
      socket.bind({ address: `100.64.${(i >> 8) & 3}.${i & 255}`, exclusive: true }, () =>
        socket.send(payload, port, '203.0.113.1', () => socket.close()),
      )
      if (sent % 50 === 0) await new Promise(resolve => setImmediate(resolve))
    }
    await new Promise(resolve => setTimeout(resolve, 1))
  }
  return sent
}

interface Forwarded {
  readonly name: string
  readonly active: number
  readonly accepted: number
  readonly refused: Record<string, number>
  readonly datagrams?: { readonly evicted: number; readonly dropped: Record<string, number> }
}

async function forward(name: string): Promise<Forwarded> {
  const text = await gateway.exec('curl', '--silent', 'http://127.0.0.1:9586/status.json')
  return JSON.parse(text).forwards.find((one: Forwarded) => one.name === name)
}

const quiet = await watch.alone(1000)
tell(t, 'alone', quiet)
// Who sends a flood needs processors, too: what is compared with is one that nobody listens to.
const alone = await watch.during(() => crowd.run(flood, { port: 9999, ms: 3000, rate: 3000, bytes: 60 }))
tell(t, 'beside a flood to nobody', alone)

async function harmless(t: Test, name: string, attack: Flood, most: { files: number; memory: number }) {
  const before = { memory: watch.memory, descriptors: watch.descriptors }
  await good.run(ask, { port: 9053, every: 20 })
  const seen = await watch.during(async () =>
    t.comment(`${name}: ${await crowd.run(flood, attack)} datagrams of ${attack.bytes} bytes, as many flows`),
  )
  const counts = await good.run(
    async (_: undefined, { state }) =>
      (state.get('asked') as () => Promise<{ asked: number; answered: number; strange: number }>)(),
    undefined,
  )
  tell(t, name, seen)
  unharmed(t, alone, seen)
  const { active, accepted, refused, datagrams } = await forward(name)
  t.comment(JSON.stringify({ active, accepted, refused, datagrams }))
  t.ok(active <= 4097, `${active} flows`)
  t.ok(
    seen.descriptors - before.descriptors <= most.files,
    `${seen.descriptors - before.descriptors} files more`,
  )
  t.ok(seen.memory - before.memory <= most.memory, `${(seen.memory - before.memory).toFixed(0)} MiB more`)
  t.ok(seen.lines <= 60, `${seen.lines} lines`)
  t.equal(counts.strange, 0, 'no reply of another client comes')
  t.ok(
    counts.answered >= 0.9 * counts.asked,
    `${counts.answered} of ${counts.asked} good questions are answered`,
  )
}

t.test('new flows, as many as come', t =>
  harmless(t, 'flood', { port: 9053, ms: 5000, rate: 3000, bytes: 60 }, { files: 4200, memory: 150 }),
)

t.test('new flows of a forward with a rate', t =>
  harmless(t, 'rate', { port: 9054, ms: 3000, rate: 1500, bytes: 60 }, { files: 1500, memory: 40 }),
)

t.test('large datagrams, each of a new flow', t =>
  harmless(t, 'flood', { port: 9053, ms: 3000, rate: 200, bytes: 60_000 }, { files: 4200, memory: 100 }),
)

t.test('a target that refuses, and a name without an address', async t => {
  await harmless(t, 'gone', { port: 9055, ms: 3000, rate: 2000, bytes: 60 }, { files: 4200, memory: 100 })
  await harmless(t, 'name', { port: 9056, ms: 3000, rate: 2000, bytes: 60_000 }, { files: 4200, memory: 100 })
})

t.test('idle flows end, and their files are closed', async t => {
  for (const name of ['flood', 'rate', 'gone']) {
    const deadline = performance.now() + 15_000
    while ((await forward(name)).active > 0 && performance.now() < deadline) await sleep(200)
    t.equal((await forward(name)).active, 0)
  }
  const { memory, descriptors } = await watch.settled(quiet, Number.POSITIVE_INFINITY)
  t.ok(descriptors <= quiet.descriptors * 1.1, `${descriptors} files afterwards, ${quiet.descriptors} before`)
  t.comment(`${quiet.memory.toFixed(0)} MiB before, ${memory.toFixed(0)} afterwards`)
})
