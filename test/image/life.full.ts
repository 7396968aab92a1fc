import type { Socket } from 'node:net'
import t from 'tap'
import { seenAddress, startNginx, type Topology, topology } from '../e2e/topology.ts'
import { buildImage, type Container, skip } from './container.ts'
import { startContainer } from './ends.ts'

t.setTimeout(900_000)

/** Besides nginx, a server that sends back what it gets, for connections that stay. */
const config = {
  gateway: `forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  echo: { listen: ":9000", target: "10.1.10.2:9000" }
`,
  cluster: `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  echo: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
`,
}

t.test('the life of a container', { skip }, async t => {
  await buildImage()
  const world = await topology()
  t.teardown(() => world.lab.close())
  await startNginx(world)
  await world.cluster.run(async () => {
    const { createServer } = await import('node:net')
    createServer({ allowHalfOpen: true }, socket => socket.pipe(socket)).listen(9000, '127.0.0.1')
  })

  await using cluster = await startContainer(world, 'cluster', config.cluster)
  await using gateway = await startContainer(world, 'gateway', config.gateway)
  await Promise.all([gateway.ready(), cluster.ready()])

  await t.test('HEALTHCHECK turns healthy, unhealthy while the program hangs, and healthy again', async t => {
    t.equal(await healthAfterCheck(gateway), 'healthy')
    await gateway.signal('node', 'SIGSTOP')
    let failures = 0
    do failures += 1
    while ((await healthAfterCheck(gateway)) === 'healthy' && failures < 10)
    await gateway.signal('node', 'SIGCONT')
    t.ok(failures >= 3 && failures < 10, `unhealthy after ${failures} failures: not at the first, but soon`)
    t.equal(await healthAfterCheck(gateway), 'healthy')
  })

  await t.test('wireguard-go killed inside: no connection is lost', async t => {
    await openEcho(world)
    t.equal(await echo(world, 'before'), 'before')
    const from = gateway.running.log.length
    await gateway.signal('wireguard-go', 'SIGKILL')
    await gateway.running.logged(line => line.msg === 'tunnel up', { from })
    t.equal(await echo(world, 'after'), 'after')
    await closeEcho(world)
  })

  await t.test('podman stop: connections may finish, then the exit status is 0', async t => {
    await openEcho(world)
    t.equal(await echo(world, 'open'), 'open')
    const stopped = gateway.podman('stop', '--time', '45')
    await gateway.running.logged(line => line.msg === 'draining')
    t.equal(await echo(world, 'still open'), 'still open')
    await t.rejects(seenAddress(world, 4, 80), /ECONNREFUSED/, 'nothing new is taken')
    await closeEcho(world)
    await stopped
    t.equal((await gateway.ended()).code, 0)
    t.equal(await gateway.podman('inspect', '--format', '{{.State.ExitCode}}'), '0')
    t.notMatch(await world.gateway.exec('ip', '-brief', 'link'), /^wg0/m, 'the tunnel interface is gone')
  })
})

/** Runs the HEALTHCHECK once, as the runtime's timer does, and tells what the container's state is then. */
async function healthAfterCheck(container: Container): Promise<string> {
  await container.podman('healthcheck', 'run').catch(() => {})
  return container.podman('inspect', '--format', '{{.State.Health.Status}}')
}

declare global {
  var held: Socket
}

/** One connection of the client to the echo server, kept by the agent on the client's host. */
async function openEcho({ client }: Topology): Promise<void> {
  await client.run(async (_, { openSocket }) => {
    globalThis.held = await openSocket({ host: '203.0.113.1', port: 9000 })
  })
}

async function echo({ client }: Topology, text: string): Promise<string> {
  return client.run(async text => {
    const { default: events } = await import('node:events')
    const socket = globalThis.held
    socket.write(text)
    const [bytes] = await events.once(socket, 'data', { signal: AbortSignal.timeout(20_000) })
    return String(bytes)
  }, text)
}

async function closeEcho({ client }: Topology): Promise<void> {
  await client.run(async () => {
    globalThis.held.end()
  })
}
