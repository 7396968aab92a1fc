import t from 'tap'
import { startNginx, topology } from '../e2e/topology.ts'
import { execute } from '../lab/execute.ts'
import { askAdmin, checkShipped } from '../lab/shipped.ts'
import { buildImage, podman, skip } from './container.ts'
import { http, startContainer } from './ends.ts'

t.setTimeout(900_000)

t.test('the image', { skip }, async t => {
  await buildImage()
  const world = await topology()
  t.teardown(() => world.lab.close())
  await startNginx(world)
  await using gateway = await startContainer(world, 'gateway', http.gateway)
  await using cluster = await startContainer(world, 'cluster', http.cluster)
  await Promise.all([gateway.ready(), cluster.ready()])
  const inside = [
    'nsenter',
    `--net=/run/netns/${world.gateway.namespace}`,
    podman,
    'exec',
    '-i',
    gateway.name,
  ]
  await checkShipped(t, {
    files: ['--config', '/etc/wg-punchhole/config.yaml'],
    writable: '/run/wireguard',
    program: ['wg-punchhole'],
    run: (commandLine, stdin) => execute([...inside, ...commandLine], stdin),
    ask: (method, path) => world.gateway.run(askAdmin, { method, path }),
  })
})
