import { homedir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { proxied, snippet } from './proxied.ts'

/** Caddy with the settings of docs/reverse-proxies.md, behind a real end. */
const { GO_TOOLS, XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env
const caddy = join(GO_TOOLS ?? join(XDG_CACHE_HOME, 'wg-punchhole/bin'), 'caddy')

t.test('it sees the address of the client', async t => {
  const { world, folder, seen, write } = await proxied()
  t.teardown(() => world.lab.close())
  const options = snippet('caddyfile').replace('{\n', '{\n  admin off\n')
  const file = await write('Caddyfile', `${options}\nhttp://:8080 {\n  respond "{remote_host}"\n}\n`)
  const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder }
  world.cluster.start(caddy, ['run', '--config', file], { env })
  t.equal(await seen(), '203.0.113.7')
})
