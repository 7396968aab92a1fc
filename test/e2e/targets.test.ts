import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { EndStatus } from '../../src/admin/status.ts'
import type { Host, Running } from '../lab/lab.ts'
import { address, retry, startByHand, startNginx, startOurs, type Topology, topology } from './topology.ts'

/** Targets that come and go, as real servers and real checks see it. */

async function statusOf(host: Host): Promise<EndStatus> {
  return (await host.run(async () => (await fetch('http://127.0.0.1:9586/status.json')).json())) as EndStatus
}

const statesOf = async (host: Host) =>
  (await statusOf(host)).forwards[0]!.targets.map(({ state }) => state).join(' ')

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  await retry(async () => {
    if (!(await isSo())) throw new Error(`not within the time: ${what}`)
  })
}

/** `served`, or how a client's connection to the gateway ended. */
async function request(world: Topology, port: number): Promise<string> {
  return world.client.run(
    async ({ host, port }) => {
      const { connect } = await import('node:net')
      return new Promise<string>(resolve => {
        const socket = connect({ host, port, autoSelectFamily: false })
        socket.setTimeout(10_000, () => resolve('no answer'))
        socket.on('connect', () => socket.write('GET / HTTP/1.0\r\n\r\n'))
        socket.on('data', () => resolve('served'))
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
        socket.on('end', () => resolve('closed'))
      })
    },
    { host: address.gateway[4], port },
  )
}

const complaints = (world: Topology) => {
  const text = readFileSync(join(world.lab.folder, 'nginx', 'error.log'), 'utf8')
  return text.split('\n').filter(line => / \[(warn|error|crit|alert|emerg)\] /.test(line))
}

for (const link of [true, false])
  t.test(`a service that stops and starts, ${link ? 'over the link' : 'without one'}`, async t => {
    const world = await topology()
    t.teardown(() => world.lab.close())
    let nginx = await startNginx(world)
    const off = link ? '' : 'link: false\n'
    const gateway = await startOurs(
      world,
      'gateway',
      `${off}forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }\n`,
    )
    const cluster = await startOurs(
      world,
      'cluster',
      `${off}forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }\n`,
    )
    await until('it is served', async () => (await request(world, 80)) === 'served')
    if (link) await gateway.logged(line => line.msg === 'link up')
    await nginx.stop()
    t.equal(await request(world, 80), 'ECONNRESET', 'the one that finds out')
    await until('the cluster end takes nobody', async () => {
      const { accepted } = await world.gateway.run(async () => {
        const { connect } = await import('node:net')
        return new Promise<{ accepted: boolean }>(resolve => {
          const socket = connect(80, '10.1.10.2')
          socket.on('connect', () => resolve({ accepted: true }))
          socket.on('error', () => resolve({ accepted: false }))
        })
      })
      return !accepted
    })
    await until('nor does the gateway', async () => (await request(world, 80)) === 'ECONNREFUSED')
    t.match((await statusOf(world.gateway)).health, {
      status: 'degraded',
      reasons: [{ code: 'backend-down' }],
    })
    const began = Date.now()
    nginx = await startNginx(world)
    await until('it is served again', async () => (await request(world, 80)) === 'served')
    t.comment(`served ${Date.now() - began} ms after its start`)
    t.same((await statusOf(world.gateway)).health.reasons, [])
    t.same(complaints(world), [], 'nginx has nothing to say of the checks')
    const told = (end: Running, message: string) => end.log.filter(line => line.msg === message).length
    for (const end of [gateway, cluster]) {
      t.equal(told(end, 'target down'), 1)
      t.equal(told(end, 'target up'), 1)
    }
  })

t.test(
  'two HAProxies as targets, checked with LOCAL: one is killed under requests, and comes back',
  async t => {
    const world = await topology()
    t.teardown(() => world.lab.close())
    await startNginx(world)
    await startByHand(world, 'cluster', 'listen idle\n  bind 127.0.0.1:1\n')
    const start = async (port: number) => {
      const cfg = join(world.lab.folder, `haproxy-${port}.cfg`)
      const text = `defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen http
  bind 10.1.10.2:${port} accept-proxy
  server web 127.0.0.1:8080 send-proxy-v2
`
      await writeFile(cfg, text)
      return world.cluster.start('haproxy', ['-db', '-f', cfg])
    }
    const first = await start(81)
    await start(82)
    await startOurs(
      world,
      'gateway',
      `forwards:
  http: { listen: ":80", target: ["10.1.10.2:81", "10.1.10.2:82"], check: { interval: 300ms } }
`,
    )
    await until('both are up', async () => (await statesOf(world.gateway)) === 'up up')
    for (let i = 0; i < 40; i++) {
      if (i === 10) await first.stop('SIGKILL')
      t.equal(await request(world, 80), 'served')
    }
    await until('it is down', async () => (await statesOf(world.gateway)) === 'down up')
    await start(81)
    await until('it is up again', async () => (await statesOf(world.gateway)) === 'up up')
    t.equal((await statusOf(world.gateway)).forwards[0]?.refused['target-failed'], 0)
    t.same(complaints(world), [], 'nginx has nothing to say of the checks')
  },
)

t.test('HAProxy as the gateway sees by a plain TCP check that nobody is left', async t => {
  const world = await topology()
  t.teardown(() => world.lab.close())
  let nginx = await startNginx(world)
  await startByHand(
    world,
    'gateway',
    `global
  stats socket ${join(world.lab.folder, 'haproxy.sock')}
listen http
  bind 203.0.113.1:80
  server pod 10.1.10.2:80 send-proxy-v2 check inter 200ms rise 1 fall 1
`,
  )
  await startOurs(
    world,
    'cluster',
    'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080", check: { interval: 200ms } } }\n',
  )
  await until('it is served', async () => (await request(world, 80)) === 'served')
  await nginx.stop()
  // Without a server that is up HAProxy closes connections without a word, and does not dial.
  await until('the server is down', async () => ['closed', 'ECONNRESET'].includes(await request(world, 80)))
  nginx = await startNginx(world)
  await until('it is served again', async () => (await request(world, 80)) === 'served')
})
