import { mkdir, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { snippet } from './snippet.ts'
import { ready, retry, startOurs, topology } from './topology.ts'

/** Caddy with the settings of docs/reverse-proxies.md, behind a real end. */
const { GO_TOOLS, XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env
const caddy = join(GO_TOOLS ?? join(XDG_CACHE_HOME, 'wg-punchhole/bin'), 'caddy')

t.test('it sees the address of the client', async t => {
  const world = await topology()
  t.teardown(() => world.lab.close())
  const gateway = await startOurs(
    world,
    'gateway',
    'forwards: { http: { listen: ":80", target: "10.1.10.2:80" } }\n',
  )
  const cluster = await startOurs(
    world,
    'cluster',
    'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }\n',
  )
  await ready(gateway, cluster)
  const folder = join(world.lab.folder, 'caddy')
  await mkdir(folder)
  const options = snippet('caddyfile')
    .replace('10.42.0.0/16', '127.0.0.0/8')
    .replace('{\n', '{\n  admin off\n')
  const file = join(folder, 'Caddyfile')
  await writeFile(file, `${options}\nhttp://:8080 {\n  respond "{remote_host}"\n}\n`)
  world.cluster.start(caddy, ['run', '--config', file], {
    env: { ...process.env, HOME: folder, XDG_DATA_HOME: folder },
  })
  const seen = await retry(() =>
    world.client.exec('curl', '--silent', '--fail', '--max-time', '2', 'http://203.0.113.1/'),
  )
  t.equal(seen, '203.0.113.7')
})
