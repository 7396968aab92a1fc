import t, { type Test } from 'tap'
import type { Opening, Tools } from '../lab/agent.ts'
import { collecting } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { address, ready, retry, startOurs, topology } from './topology.ts'

/** Clients and targets that misbehave: each costs one connection, and nothing is left of it. */
const world = await topology()
t.teardown(() => world.lab.close())

const gateway = await startOurs(
  world,
  'gateway',
  `forwards:
  bytes: { listen: ":9000", target: "10.1.10.2:9000" }
  closed: { listen: ":9001", target: "10.1.10.2:9001" }
  nowhere: { listen: ":9002", target: "127.0.0.1:9003" }
log: { connections: false }
`,
  collecting,
)
const cluster = await startOurs(
  world,
  'cluster',
  `forwards:
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false, timeouts: { header: 1s } }
  closed: { listen: "tunnel:9001", target: "127.0.0.1:9001" }
  strict: { listen: "198.51.100.2:7000", target: "127.0.0.1:9000", acceptProxy: v2, trustedProxies: [203.0.113.0/24] }
log: { connections: false }
`,
  collecting,
)
await ready(gateway, cluster)
await world.cluster.run((port, { listen }) => listen(port), 9000)

/** The value of one series of an end's /metrics. */
async function metric(end: 'gateway' | 'cluster', series: string): Promise<number> {
  const text = await world[end].exec('curl', '-s', 'http://127.0.0.1:9586/metrics')
  const line = text.split('\n').find(line => line.startsWith(`${series} `))
  return Number(line?.slice(series.length + 1))
}

const refused = (forward: string, reason: string) =>
  `wg_punchhole_forward_refused_total{forward="${forward}",reason="${reason}"}`

for (const [what, end, forward, port, closed] of [
  ['at the gateway', 'gateway', 'nowhere', 9002, 9003],
  ['behind the cluster end', 'cluster', 'closed', 9001, 9001],
] as const)
  t.test(`a closed port ${what}: the client gets a reset, the log a line, the counter one more`, async t => {
    const opening = { host: address.gateway[4], port }
    t.equal(await world.client.run(endOf, { opening, sends: '' }), 'ECONNRESET')
    const program = end === 'gateway' ? gateway : cluster
    await program.logged(line => line.forward === forward)
    const lines = program.log.filter(line => line.forward === forward)
    t.equal(lines.length, 1)
    t.match(lines[0], {
      level: 'warn',
      msg: 'connection refused',
      reason: 'target-failed',
      client: /^203\.0\.113\.7:\d+$/,
      target: `127.0.0.1:${closed}`,
      detail: `127.0.0.1:${closed}: ECONNREFUSED`,
    })
    t.equal(await metric(end, refused(forward, 'target-failed')), 1)
    t.equal(await metric(end, `wg_punchhole_forward_target_up{forward="${forward}"}`), 0)
  })

t.test('a PROXY header from a source that is not trusted', async t => {
  const opening = { host: '198.51.100.2', port: 7000 }
  const sends = 'PROXY TCP4 192.0.2.66 192.0.2.1 1 2\r\n'
  t.equal(await world.gateway.run(endOf, { opening, sends }), 'ECONNRESET')
  t.match(await cluster.logged(line => line.forward === 'strict'), {
    level: 'warn',
    reason: 'untrusted-source',
    client: /^198\.51\.100\.1:/,
    detail: '198.51.100.1 is not in trustedProxies',
  })
  t.equal(await metric('cluster', refused('strict', 'untrusted-source')), 1)
})

for (const [what, sends, reason] of [
  ['nothing', '', 'header-timeout'],
  ['half a header', 'PROXY TCP4 192.0', 'header-timeout'],
  ['no header', 'GET / HTTP/1.1\r\n', 'header-invalid'],
] as const)
  t.test(`through the tunnel, somebody who sends ${what} where a header is required`, async t => {
    const from = cluster.log.length
    const opening = { host: '10.1.10.2', port: 9000 }
    t.equal(await world.gateway.run(endOf, { opening, sends }), 'ECONNRESET')
    const line = await cluster.logged(line => line.forward === 'bytes', { from })
    t.match(line, { level: 'warn', reason, client: /^10\.1\.10\.1:/ })
    t.ok((await metric('cluster', refused('bytes', reason))) >= 1)
  })

t.test('1,000 connections cut at random moments leave no descriptor and no memory behind', async t => {
  const opening = { host: address.gateway[4], port: 9000 }
  const ends = { gateway, cluster }
  async function quiet(end: keyof typeof ends): Promise<{ files: number; bytes: number }> {
    await retry(async () => {
      const active = await metric(end, 'wg_punchhole_forward_connections_active{forward="bytes"}')
      if (active !== 0) throw new Error(`${active} connections are still open at the ${end}`)
    })
    ends[end].child.kill('SIGUSR2')
    return {
      files: await metric(end, 'wg_punchhole_process_open_fds'),
      bytes: await metric(end, 'wg_punchhole_process_resident_memory_bytes'),
    }
  }
  // It ends with its host.
  world.cluster.run(serve, 9000).catch(() => {})
  // The first ones warm up: compiled code and buffer pools stay.
  await world.client.run(cut, { opening, count: 1000, seed: 1 })
  const before = { gateway: await quiet('gateway'), cluster: await quiet('cluster') }
  await world.client.run(cut, { opening, count: 1000, seed: 2 })
  for (const end of ['gateway', 'cluster'] as const) {
    // A request under way, for these numbers or to wireguard-go, has a descriptor of its own.
    const after = await retry(async () => {
      const now = await quiet(end)
      if (now.files > before[end].files) throw new Error(`${now.files} files, ${before[end].files} before`)
      return now
    })
    const grown = (after.bytes - before[end].bytes) / 2 ** 20
    t.ok(grown < 24, `${grown.toFixed(1)} MiB more at the ${end}`)
    t.ok((await metric(end, 'wg_punchhole_forward_connections_total{forward="bytes"}')) > 500)
    noErrors(t, ends[end])
  }
})

function noErrors(t: Test, end: Running): void {
  t.strictSame(
    end.log.filter(line => line.level === 'error'),
    [],
  )
}

// What follows is sent to the hosts as text: each function stands alone.

/** How a connection ends by itself: the error's code, or `complete`. */
async function endOf({ opening, sends }: { opening: Opening; sends: string }, { openSocket }: Tools) {
  try {
    const socket = await openSocket(opening)
    socket.resume()
    if (sends !== '') socket.write(sends)
    return await new Promise<string>((resolve, reject) => {
      socket.once('end', () => resolve('complete'))
      socket.once('error', reject)
    })
  } catch (error) {
    return (error as NodeJS.ErrnoException).code // also of a connect that meets a reset at once
  }
}

/** Answers every connection with some bytes, and cuts a few itself, for ever. */
async function serve(port: number, { openSocket }: Tools): Promise<void> {
  for (let i = 0; ; i++) {
    const socket = await openSocket({ listen: port })
    socket.on('error', () => {})
    socket.on('end', () => socket.end()).resume()
    socket.write(Buffer.alloc((i % 7) * 20_000))
    if (i % 5 === 0) socket.resetAndDestroy()
    if (i % 5 === 1) socket.end()
  }
}

/** Opens connections, 50 at a time, and ends each in one of many ways at one of many moments. */
async function cut({ opening, count, seed }: { opening: Opening; count: number; seed: number }, _: Tools) {
  const { connect } = await import('node:net')
  const { setTimeout: sleep } = await import('node:timers/promises')
  // A linear congruential generator: the same moments in every run.
  let random = seed
  const below = (limit: number) => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0
    return Math.floor((random / 2 ** 32) * limit)
  }
  const one = async () => {
    const socket = connect({ ...(opening as { host: string; port: number }), allowHalfOpen: true })
    const closed = new Promise(resolve => socket.once('close', resolve))
    socket.on('error', () => {})
    socket.resume()
    if (below(4) > 0) socket.write(Buffer.alloc(below(200_000)))
    const ends = below(4) === 0
    if (ends) socket.end()
    await sleep(below(40))
    // Node never closes a socket that is reset while its shutdown is under way.
    if (ends || below(2) === 0) socket.destroy()
    else socket.resetAndDestroy()
    await closed
  }
  let left = count
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      while (left-- > 0) await one()
    }),
  )
}
