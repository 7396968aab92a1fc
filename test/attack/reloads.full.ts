import { readdirSync, readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { ready, startNginx, startOurs, topology } from '../e2e/topology.ts'
import { collecting } from '../lab/end.ts'

/**
 * A gateway that is reloaded again and again, each time with other listeners, targets, names and log level: memory and
 * descriptors stay what they are. What they are is measured when the end has had some work, as V8 grows with its first,
 * and after a collection: what garbage is there at a moment is chance.
 */
t.setTimeout(240_000)

const reloads = 1000
const admin = 'http://127.0.0.1:9586'
const world = await topology()
t.teardown(() => world.lab.close())

const fixed = [0, 1, 2, 3, 4, 5].map(
  i => `  f${i}: { listen: ":${8000 + i}", target: "10.1.10.2:${80 + i}" }`,
)
const forwards = (i: number) => `forwards:
${fixed.join('\n')}
  moves: { listen: ":${8200 + (i % 2)}", target: "10.1.10.2:80" }
  turns: { listen: ":8300", target: "10.1.10.2:${80 + (i % 2)}", maxConnections: ${100 + (i % 7)} }
  n${i % 3}: { listen: ":8400", target: "10.1.10.2:80" }
log: { level: ${i % 2 === 0 ? 'info' : 'debug'}, connections: false }
`

t.test(`${reloads} reloads`, async t => {
  await startNginx(world)
  const behind = [0, 1, 2, 3, 4, 5].map(
    i => `  c${i}: { listen: "tunnel:${80 + i}", target: "127.0.0.1:8080" }`,
  )
  const cluster = await startOurs(world, 'cluster', `forwards:\n${behind.join('\n')}\n`)
  const gateway = await startOurs(world, 'gateway', forwards(0), collecting)
  await ready(cluster, gateway)
  const memory = () =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))![1]) / 1024
  /** Resident memory after a collection, in MiB. */
  const held = async () => {
    process.kill(gateway.pid, 'SIGUSR2')
    await sleep(3000)
    return memory()
  }
  const files = () => readdirSync(`/proc/${gateway.pid}/fd`).length

  const file = join(world.lab.folder, 'gateway', 'config.yaml')
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces.gateway}, stateDir: . }\n`
  let written = 0
  /** Asks for so many reloads, each of another config; some come while one runs. Gives what became of all of them. */
  const reload = async (times: number) => {
    for (let i = 0; i < times; i++) {
      await writeFile(`${file}.new`, tunnel + forwards(++written))
      await rename(`${file}.new`, file)
      process.kill(gateway.pid, 'SIGHUP')
      await sleep(40)
    }
    const { config } = JSON.parse(await world.gateway.exec('curl', '--silent', `${admin}/status.json`))
    return config as { readonly reloads: number; readonly rejections: number }
  }

  const served = await world.client.run(async () => {
    const { get } = await import('node:http')
    const one = () =>
      new Promise<boolean>(resolve =>
        get({ host: '203.0.113.1', port: 8000, agent: false }, answer =>
          answer.resume().on('end', () => resolve(answer.statusCode === 200)),
        ).on('error', () => resolve(false)),
      )
    let served = 0
    const some = async () => {
      for (let i = 0; i < 100; i++) if (await one()) served++
    }
    await Promise.all(Array.from({ length: 20 }, some))
    return served
  }, undefined)
  t.equal(served, 2000)
  for (const path of ['/metrics', '/status.json', '/'])
    await world.gateway.exec('curl', '--silent', `${admin}${path}`)
  let done = await reload(50)
  await sleep(2000)
  const [memoryBefore, filesBefore] = [await held(), files()]

  while (done.reloads < reloads) {
    done = await reload(100)
    t.comment(`after ${done.reloads}: ${memory().toFixed(0)} MiB, ${files()} files`)
  }
  await sleep(5000)
  const memoryAfter = await held()
  t.comment(`${memoryBefore.toFixed(0)} MiB, after ${done.reloads} reloads ${memoryAfter.toFixed(0)} MiB`)
  t.equal(done.rejections, 0)
  t.ok(memoryAfter <= 1.3 * memoryBefore, `memory: ${(memoryAfter / memoryBefore).toFixed(2)} times`)
  t.ok(files() <= filesBefore + 5, `files: ${filesBefore}, then ${files()}`)
})
