import t, { type Test } from 'tap'
import { command, endFolder, startEnd } from '../lab/end.ts'
import type { Running } from '../lab/lab.ts'
import { Download } from './download.ts'
import { nothingLeft } from './remains.ts'
import { ready, startOurs, topology, wgConf } from './topology.ts'

/** How an end ends: what SIGTERM and SIGINT do to a gateway with a download running through it. */
const world = await topology()
t.teardown(() => world.lab.close())
const { gateway, interfaces } = world

function startGateway(drainTimeout: string): Promise<Running> {
  const config = `forwards: { bytes: { listen: ":9000", target: "10.1.10.2:9000" } }\ndrainTimeout: ${drainTimeout}\n`
  return startOurs(world, 'gateway', config)
}

const first = await startGateway('60s')
const cluster = await startOurs(
  world,
  'cluster',
  'forwards: { bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false } }',
)
await ready(first, cluster)

/** The error of a new connection from the client, or `connected`. */
function connectError(): Promise<string> {
  return world.client.run(async () => {
    const { connect } = await import('node:net')
    return new Promise<string>(resolve => {
      const socket = connect(9000, '203.0.113.1', () => {
        socket.destroy()
        resolve('connected')
      })
      socket.on('error', error => resolve((error as NodeJS.ErrnoException).code!))
    })
  })
}

function health(...flags: string[]): Promise<{ code: number | null; output: string }> {
  return command(gateway, 'health', ...flags, '--url', 'http://127.0.0.1:9586')
}

async function ended(t: Test, running: Running, code: number): Promise<void> {
  t.strictSame(await running.exited, { code, signal: null })
  await nothingLeft(t, gateway, interfaces.gateway)
}

const draining = (line: Record<string, unknown>) => line.msg === 'draining'

t.test('SIGTERM: nothing new, what runs may finish, then it ends well', async t => {
  const running = first
  const download = await Download.begin(world, 9000)
  running.child.kill('SIGTERM')
  t.match(await running.logged(draining), { connections: 1, drainDelayMs: 0, drainTimeoutMs: 60_000 })
  await running.logged(line => line.msg === 'listeners closed')
  t.equal(await connectError(), 'ECONNREFUSED')
  const { code, output } = await health()
  t.equal(code, 1)
  t.match(JSON.parse(output), { status: 'unready', reasons: [{ code: 'draining' }] })
  t.equal((await health('--live')).code, 0, 'it lives')
  await download.moves()
  const { sent, received } = await download.finish()
  t.strictSame(received, sent)
  t.equal(received.end, 'complete')
  await ended(t, running, 0)
})

t.test('SIGINT without connections ends it at once', async t => {
  const running = await startGateway('60s')
  running.child.kill('SIGINT')
  await ended(t, running, 0)
})

t.test('after drainTimeout the rest is reset', async t => {
  const running = await startGateway('300ms')
  const download = await Download.begin(world, 9000)
  running.child.kill('SIGTERM')
  t.match(await running.logged(line => line.msg === 'connection ended'), { end: 'drain-timeout' })
  t.equal(await download.end(), 'ECONNRESET')
  await ended(t, running, 0)
})

for (const second of ['SIGTERM', 'SIGINT'] as const)
  t.test(`a second signal, ${second}, ends it at once`, async t => {
    const running = await startGateway('10m')
    const download = await Download.begin(world, 9000)
    running.child.kill('SIGTERM')
    await running.logged(draining)
    running.child.kill(second)
    await ended(t, running, 1)
    t.equal(await download.end(), 'ECONNRESET')
  })

t.test('SIGTERM during the start leaves nothing', async t => {
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${interfaces.gateway}, stateDir: . }`
  const config = `${tunnel}\nforwards: { bytes: { listen: ":9000", target: "10.1.10.2:9000" } }\nlog: { level: debug }\n`
  const folder = await endFolder(world.lab, 'gateway', { config, wgConf: wgConf(world, 'gateway') })
  const running = startEnd(gateway, folder)
  await running.logged(line => line.line === 'Device started')
  running.child.kill('SIGTERM')
  await ended(t, running, 0)
})
