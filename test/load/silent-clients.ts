import type { Test } from 'tap'
import { ready, startOurs, topology } from '../e2e/topology.ts'
import { helloFor } from '../forward/hello.ts'
import type { Tools } from '../lab/agent.ts'
import { echo } from './echo.ts'

/**
 * Clients that open a connection and send nothing, on each kind of listener: how much longer a good client waits for its
 * answer, which comes from another host:
 *
 *   client, silent 203.0.113.7 ── gateway ═══ cluster ── echo        good 192.0.2.7 ── 192.0.2.1 gateway
 */
const listeners = [
  { what: 'no header', port: 9000, first: Buffer.from('x') },
  {
    what: 'PROXY header required',
    port: 9001,
    first: Buffer.from('PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\nx'),
  },
  { what: 'routes by server name', port: 9002, first: helloFor('www.example.com') },
]

export async function silentClients(t: Test, clients: number): Promise<void> {
  const world = await topology()
  t.teardown(() => world.lab.close())
  const good = await world.lab.host('good')
  await world.lab.link(good, ['192.0.2.7/24'], world.gateway, ['192.0.2.1/24'])
  const gateway = await startOurs(
    world,
    'gateway',
    `forwards:
  plain:  { listen: ":9000", target: "10.1.10.2:9000" }
  header: { listen: ":9001", target: "10.1.10.2:9000", acceptProxy: true, trustedProxies: [192.0.2.0/24, 203.0.113.0/24], timeouts: { header: 2m } }
  routes: { listen: ":9002", routes: { www.example.com: "10.1.10.2:9000" }, timeouts: { header: 2m } }
log: { connections: false }
`,
  )
  const cluster = await startOurs(
    world,
    'cluster',
    'forwards: { echo: { listen: "tunnel:9000", target: "127.0.0.1:9100", sendProxy: false } }\nlog: { connections: false }\n',
  )
  await world.cluster.run(echo, 9100)
  await ready(gateway, cluster)

  for (const { what, port, first } of listeners)
    await t.test(`${clients} silent clients, ${what}`, async t => {
      const ask = { host: '192.0.2.1', port, first: first.toString('latin1'), times: 100 }
      await good.run(answers, { ...ask, times: 10 })
      const alone = await good.run(answers, ask)
      const opening = world.client.run(openSilent, { host: '203.0.113.1', port, clients })
      const beside = await good.run(answers, ask)
      t.equal(await opening, clients, 'all are connected')
      const after = await good.run(answers, ask)
      t.comment(`median ${alone} ms alone, ${beside} ms while they come, ${after} ms while they are there`)
      t.ok(beside - alone <= 50, `${beside - alone} ms more while they come`)
      t.ok(after - alone <= 50, `${after - alone} ms more while they are there`)
      const { forwards } = await world.gateway.run(
        async () => JSON.parse(await (await fetch('http://127.0.0.1:9586/status.json')).text()),
        undefined,
      )
      const open = forwards.map((forward: { active: number }) => forward.active)
      t.equal(Math.max(...open), clients, 'and stay so')
      await world.client.run(closeSilent)
    })
}

interface Asking {
  readonly host: string
  readonly port: number
  /** What is sent first, as latin1. */
  readonly first: string
  readonly times: number
}

/** Median of the milliseconds from a connect to the first byte of the answer. Runs in an agent. */
async function answers({ host, port, first, times }: Asking): Promise<number> {
  const { connect } = await import('node:net')
  const took: number[] = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    const socket = connect({ host, port, autoSelectFamily: false })
    socket.write(first, 'latin1')
    await new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject))
    took.push(performance.now() - began)
    socket.destroy()
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  return took.sort((a, b) => a - b)[times >> 1]!
}

/** Opens so many, and gives how many of them are connected. Runs in an agent. */
async function openSilent(
  { host, port, clients }: { host: string; port: number; clients: number },
  { state }: Tools,
): Promise<number> {
  const { connect } = await import('node:net')
  const sockets = Array.from({ length: clients }, () => connect({ host, port, autoSelectFamily: false }))
  state.set('silent', sockets)
  const outcomes = await Promise.all(
    sockets.map(
      socket =>
        new Promise<number>(resolve =>
          socket.once('connect', () => resolve(1)).on('error', () => resolve(0)),
        ),
    ),
  )
  return outcomes.reduce((sum, connected) => sum + connected, 0)
}

async function closeSilent(_: undefined, { state }: Tools): Promise<void> {
  for (const socket of state.get('silent') as { destroy(): void }[]) socket.destroy()
}
