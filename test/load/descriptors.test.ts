import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import { ready, startOurs, topology } from '../e2e/topology.ts'
import { command, endFolder, startEnd } from '../lab/end.ts'
import { Lab, type Running } from '../lab/lab.ts'
import { echo } from './echo.ts'

/** Ends that may hold few files open, and many more clients than that. */

const limited = (files: number) => ['prlimit', `--nofile=${files}:${files}`]

interface Flood {
  readonly host: string
  readonly port: number
  readonly established: number
  readonly clients: number
}

/**
 * `established` connections that echo block after block; then `clients` more at once, each of which asks for one byte.
 * Everybody stays until all of them know whether they are served. Runs in an agent.
 */
async function flood({ host, port, established, clients }: Flood) {
  const { connect } = await import('node:net')
  const { createHash, randomBytes } = await import('node:crypto')
  const open = () => connect({ host, port, autoSelectFamily: false })
  let isOver = false
  let blocks = 0
  const talk = (socket: ReturnType<typeof open>) =>
    new Promise<string>(resolve => {
      const sent = createHash('sha256')
      const received = createHash('sha256')
      let missing = 0
      const next = () => {
        if (isOver) {
          socket.destroy()
          resolve(sent.digest('hex') === received.digest('hex') ? 'right' : 'wrong bytes')
          return
        }
        const block = randomBytes(20_000)
        sent.update(block)
        missing = block.length
        blocks++
        socket.write(block)
      }
      socket.on('data', chunk => {
        received.update(chunk)
        missing -= chunk.length
        if (missing === 0) next()
      })
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      socket.on('end', () => resolve('end'))
      socket.on('connect', next)
    })
  const talks = Array.from({ length: established }, () => talk(open()))
  while (blocks < established * 10) await new Promise(resolve => setTimeout(resolve, 10))
  const before = blocks
  const sockets = Array.from({ length: clients }, () => open())
  const outcomes = await Promise.all(
    sockets.map(
      socket =>
        new Promise<string>(resolve => {
          socket.on('data', () => resolve('served'))
          socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
          socket.on('end', () => resolve('end'))
          socket.on('connect', () => socket.write('x'))
        }),
    ),
  )
  const during = blocks
  while (blocks < during + established) await new Promise(resolve => setTimeout(resolve, 10))
  isOver = true
  const ends = await Promise.all(talks)
  for (const socket of sockets) socket.destroy()
  const count = (list: readonly string[]) =>
    Object.fromEntries([...new Set(list)].sort().map(what => [what, list.filter(x => x === what).length]))
  return { outcomes: count(outcomes), ends: count(ends), wentOn: during > before }
}

/** Most lines of its log about refusals, of 20 for each reason in ten seconds. */
function checkLines(t: Test, end: Running): void {
  const lines = end.log.filter(({ msg }) => msg === 'connection refused')
  t.ok(lines.length > 0 && lines.length <= 60, `${lines.length} lines`)
}

t.test('more clients than descriptors, one by one', async t => {
  await using lab = await Lab.create(`d${process.pid}`)
  const host = await lab.host('end')
  const folder = await endFolder(lab, 'end', {
    config: `forwards: { echo: { listen: ":9000", target: "127.0.0.1:9100", sendProxy: false } }
log: { connections: false }
`,
  })
  const end = startEnd(host, folder, { wrapper: limited(700) })
  const told = await end.logged(({ msg }) => msg === 'open files limit the connections')
  // 192 are in reserve, one is the listener's, a connection has two.
  t.match(told, {
    openFiles: 700,
    connections: 253,
    connectionsOverLink: 507,
    more: /--ulimit nofile=.*LimitNOFILE=/,
  })
  await end.logged(({ msg }) => msg === 'running')
  await host.run(echo, 9100)
  // A namespace's `ip` has become the program, which prlimit had become before.
  const files = () => readdirSync(`/proc/${end.pid}/fd`).length
  const idle = files()
  const metrics = async () => {
    const text = await host.exec('curl', '-s', '--max-time', '5', 'http://127.0.0.1:9586/metrics')
    return Number(/refused_total\{forward="echo",reason="descriptor-limit"\} (\d+)/.exec(text)?.[1])
  }
  for (const [round, refused] of [
    [1, 2770],
    [2, 5540],
  ] as const) {
    let most = 0
    const watch = setInterval(() => (most = Math.max(most, files())), 5)
    const flooded = host.run(flood, { host: '127.0.0.1', port: 9000, established: 23, clients: 3000 })
    const health = []
    while (health.length < 3)
      health.push(await host.exec('curl', '-s', '--max-time', '5', 'http://127.0.0.1:9586/readyz'))
    const { outcomes, ends, wentOn } = await flooded
    clearInterval(watch)
    t.same(
      outcomes,
      { ECONNRESET: 2770, served: 230 },
      `round ${round}: who is let in is served, the others reset`,
    )
    t.same(ends, { right: 23 }, 'established ones lose nothing')
    t.ok(wentOn, 'and do not stop')
    t.match(health.join(), /"status":"ready"/)
    t.ok(most < 700 - 64, `${most} files at the most`)
    t.equal(await metrics(), refused)
    while (files() > idle + 3) await new Promise(resolve => setTimeout(resolve, 20))
  }
  checkLines(t, end)
  t.notMatch(end.output, /EMFILE|accept failed|target down|unexpected error/)
  const { output } = await command(host, 'status', '--url', 'http://127.0.0.1:9586')
  t.match(output, /echo/)
})

t.test('more clients than the far end of a link has descriptors', async t => {
  const world = await topology()
  t.teardown(() => world.lab.close())
  const gateway = await startOurs(
    world,
    'gateway',
    'forwards: { echo: { listen: ":9000", target: "10.1.10.2:9000" } }\nlog: { connections: false }\n',
  )
  const cluster = await startOurs(
    world,
    'cluster',
    'forwards: { echo: { listen: "tunnel:9000", target: "127.0.0.1:9100", sendProxy: false } }\nlog: { connections: false }\n',
    { wrapper: limited(500) },
  )
  await world.cluster.run(echo, 9100)
  await ready(gateway, cluster)
  // It may have been too early for a link; a connection shows that the path is there.
  await world.client.exec('bash', '-c', 'exec 3<>/dev/tcp/203.0.113.1/9000')
  await gateway.logged(({ msg }) => msg === 'link up')
  const { outcomes, ends, wentOn } = await world.client.run(flood, {
    host: '203.0.113.1',
    port: 9000,
    established: 20,
    clients: 2000,
  })
  const { served = 0, ECONNRESET: reset = 0 } = outcomes
  t.equal(served + reset, 2000)
  // 500 less 192, listeners, the link and its lanes, of which those who talk all the time have one each.
  t.ok(served > 200 && served < 300, `${served} are served`)
  t.same(ends, { right: 20 }, 'established ones lose nothing')
  t.ok(wentOn, 'and do not stop')
  checkLines(t, cluster)
  checkLines(t, gateway)
  t.match(gateway.output, /by the other end: \d+ descriptors are in use or spoken for, of 500/)
  t.notMatch(cluster.output, /EMFILE|accept failed|target down|unexpected error/)
})

t.test('more listeners than descriptors: a config error, and a reload that is refused whole', async t => {
  await using lab = await Lab.create(`n${process.pid}`)
  const host = await lab.host('end')
  const config = (ports: string) => `forwards: { a: { listen: ":${ports}", target: "192.0.2.1:${ports}" } }\n`
  const folder = await endFolder(lab, 'end', { config: config('1000-1153') })
  const end = startEnd(host, folder, { wrapper: limited(500) })
  await end.logged(({ msg }) => msg === 'running')
  await endFolder(lab, 'end', { config: config('1000-1154') })
  end.child.kill('SIGHUP')
  const { errors } = await end.logged(({ msg }) => msg === 'config refused, the old one goes on')
  t.match(errors, [
    /config.yaml:1:\d+: error: forwards.a.listen: found 155 listeners .*allowed: in all 154 with the 500 files/,
  ])
  const listeners = await host.exec('ss', '-Hltn')
  t.equal(listeners.split('\n').filter(line => /:1[01]\d\d\b/.test(line)).length, 154, 'the old ones stay')
  await endFolder(lab, 'end', { config: config('1000-1010') })
  end.child.kill('SIGHUP')
  await end.logged(({ msg }) => msg === 'config reloaded')
  await endFolder(lab, 'all', { config: config('1-65535') })
  const all = startEnd(host, `${lab.folder}/all`)
  t.same(await all.exited, { code: 3, signal: null })
  t.match(
    all.output,
    /config.yaml:1:\d+: error: forwards.a.listen: found 65535 listeners .*allowed: in all 4096/,
  )
})
