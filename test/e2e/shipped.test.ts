import { join } from 'node:path'
import t from 'tap'
import { commandLine } from '../lab/built.ts'
import { execute } from '../lab/execute.ts'
import { askAdmin, checkShipped } from '../lab/shipped.ts'
import { ready, startNginx, startOurs, topology } from './topology.ts'

const world = await topology()
t.teardown(() => world.lab.close())
await startNginx(world)

const forward = (listen: string, target: string) =>
  `forwards: { http: { listen: "${listen}", target: "${target}" } }\n`
// All hosts of the lab have one folder for sockets and run files, but this end is to be found by itself.
const wrapper = [
  'sh',
  '-c',
  'mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && exec "$@"',
  'sh',
]
const gateway = await startOurs(world, 'gateway', forward(':80', '10.1.10.2:80'), { wrapper })
const cluster = await startOurs(world, 'cluster', forward('tunnel:80', '127.0.0.1:8080'))
await ready(gateway, cluster)

t.test('the bundle', async t => {
  const beside = ['nsenter', `--target=${gateway.pid}`, '--net', '--mount']
  await checkShipped(t, {
    files: ['--config', join(world.lab.folder, 'gateway/config.yaml')],
    writable: world.lab.folder,
    program: commandLine([]),
    run: (commandLine, stdin) => execute([...beside, ...commandLine], stdin),
    ask: (method, path) => world.gateway.run(askAdmin, { method, path }),
  })
})
