import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ready, startOurs, topology } from '../e2e/topology.ts'
import type { Running } from '../lab/lab.ts'
import { startNameServer } from '../lab/name-server.ts'
import { echo } from '../load/echo.ts'

/** Both ends of a tunnel while their clocks are set an hour forth and two hours back: nothing but what is shown changes. */
const world = await topology()
const { lab, client, cluster } = world
t.teardown(() => lab.close())

/** SIGUSR2 sets the clock of the program, as far as JavaScript sees it: to an hour from now, then to an hour ago. */
const module = join(lab.folder, 'clock.mjs')
writeFileSync(
  module,
  `const { now } = Date
let shift = 0
Date.now = () => now() + shift
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length === 0 ? [now() + shift] : given))
  }
}
process.on('SIGUSR2', () => {
  shift = shift > 0 ? -3_600_000 : 3_600_000
})
`,
)
const env = { NODE_OPTIONS: `--import=file://${module}` }

await lab.etc(cluster, 'resolv.conf', 'nameserver 127.0.0.1\n')
const names = await startNameServer(cluster)
await names.say({ 'echo.example': { A: ['127.0.0.1'] } })
await cluster.run(echo, 9100)

const ends: Record<'gateway' | 'cluster', Running> = {
  gateway: await startOurs(
    world,
    'gateway',
    'forwards: { echo: { listen: ":9000", target: "10.1.10.2:9000", check: { interval: 1s } } }',
    { env },
  ),
  cluster: await startOurs(
    world,
    'cluster',
    'forwards: { echo: { listen: "tunnel:9000", target: "echo.example.:9100", sendProxy: false } }',
    { env },
  ),
}
await ready(ends.gateway, ends.cluster)

/** A byte every 50 ms there and back, until the connection ends. */
await client.run(async (_, { state }) => {
  const { connect } = await import('node:net')
  const seen = { echoed: 0, end: '' }
  const socket = connect(9000, '203.0.113.1')
  socket.on('data', chunk => (seen.echoed += chunk.length))
  socket.on('error', error => (seen.end = error.message))
  socket.on('close', () => (seen.end ||= 'closed'))
  const timer = setInterval(() => socket.write('x'), 50)
  state.set('seen', seen)
  state.set('finish', () => {
    clearInterval(timer)
    socket.end()
  })
}, undefined)
const seen = () =>
  client.run((_, { state }) => ({ ...(state.get('seen') as { echoed: number; end: string }) }), undefined)

async function status(end: 'gateway' | 'cluster') {
  const answer = await world[end].exec('curl', '--silent', 'http://127.0.0.1:9586/status.json')
  return JSON.parse(answer)
}

/** Lines that tell of anything that went otherwise than before. */
const isChange = ({ msg, level }: Record<string, unknown>) =>
  level !== 'info' || !['connection ended', 'link up'].includes(`${msg}`)

for (const [what, shift] of [
  ['an hour forth', 3_600_000],
  ['two hours back', -3_600_000],
] as const)
  t.test(`the clock is set ${what}`, async t => {
    const lines = { gateway: ends.gateway.log.length, cluster: ends.cluster.log.length }
    const before = { seen: await seen(), checks: (await status('cluster')).forwards[0].checks }
    for (const end of Object.values(ends)) process.kill(end.pid, 'SIGUSR2')
    await names.asked()
    await sleep(8000)
    const after = { seen: await seen(), checks: (await status('cluster')).forwards[0].checks }
    t.equal(after.seen.end, '', 'the connection is not cut')
    t.ok(
      after.seen.echoed > before.seen.echoed + 80,
      `${after.seen.echoed - before.seen.echoed} bytes went on`,
    )
    t.ok(after.checks >= before.checks + 4, `${after.checks - before.checks} checks`)
    t.ok((await names.asked()).length > 2, 'names are asked again')
    for (const end of ['gateway', 'cluster'] as const) {
      t.same(ends[end].log.slice(lines[end]).filter(isChange), [], `${end}: nothing to tell`)
      const { health, tunnel, startedAt } = await status(end)
      t.equal(health.status, 'ready')
      t.equal(tunnel.peers[0].path.deaths, 0)
      for (const time of [startedAt, tunnel.process.since, tunnel.peers[0].path.since]) {
        const age = Date.now() + shift - Date.parse(time)
        t.ok(age > 0 && age < 120_000, `${age} ms old`)
      }
    }
  })

t.test('how long a connection was open is what it was', async t => {
  await client.run((_, { state }) => (state.get('finish') as () => void)(), undefined)
  const ended = await ends.gateway.logged(({ msg }) => msg === 'connection ended')
  const ms = Number(ended.durationMs)
  t.ok(Number.isInteger(ms) && ms > 16_000 && ms < 120_000, `${ms} ms`)
})
