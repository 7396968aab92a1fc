import { readFile } from 'node:fs/promises'
import t from 'tap'
import { seenAddress, startNginx, topology } from '../e2e/topology.ts'
import { buildImage, type Container, onMachine, skip } from './container.ts'
import { forms, http, startContainer } from './ends.ts'

t.setTimeout(900_000)

/** Bits in /proc/PID/status (linux/capability.h). */
const [netBindService, netAdmin] = [1n << 10n, 1n << 12n]

t.test('both ends in containers', { skip }, async t => {
  await buildImage()

  for (const form of ['host', 'bridge'] as const) {
    await t.test(`gateway on the ${form} network`, async t => {
      const world = await topology()
      t.teardown(() => world.lab.close())
      const network = `${world.lab.id}-outside`
      if (form === 'bridge') await onMachine('network', 'create', '--disable-dns', network)
      try {
        await startNginx(world)
        await using gateway = await startContainer(world, 'gateway', http.gateway, [
          ...forms[form],
          ...(form === 'bridge' ? ['--network', network] : []),
        ])
        await using cluster = await startContainer(world, 'cluster', http.cluster)
        await Promise.all([gateway.ready(), cluster.ready()])

        const { seen, real } = await seenAddress(world, 4, 80)
        t.equal(seen, real, "nginx sees the client's address and port")
        if (form === 'host') {
          const { seen, real } = await seenAddress(world, 6, 80)
          t.equal(seen, real, 'of an IPv6 client too')
        }

        const allowed = form === 'host' ? netAdmin | netBindService : netAdmin
        for (const { pid, program } of await gateway.processes()) {
          const status = await readFile(`/proc/${pid}/status`, 'utf8')
          for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) {
            const held = BigInt(`0x${new RegExp(`^${set}:\\s*(\\w+)$`, 'm').exec(status)?.[1]}`)
            t.equal(held & ~allowed, 0n, `${set} of ${program} has no other capability`)
          }
          t.match(status, /^NoNewPrivs:\s*1$/m, `${program} can gain none`)
        }
        t.match(
          await gateway.exec('cat', '/proc/1/status'),
          new RegExp(`^Name:\\s*tini$[^]*^CapEff:\\s*${allowed.toString(16).padStart(16, '0')}$`, 'm'),
        )
        t.same(
          (await gateway.processes()).map(({ program }) => program).sort(),
          ['ip', 'node', 'tini', 'wireguard-go'],
          'nothing else runs inside; ip tells of changes',
        )
        t.same(await writable(gateway), ['/run/wireguard'])
      } finally {
        if (form === 'bridge') await onMachine('network', 'rm', '--force', network)
      }
    })
  }
})

/** Where files can be made inside, apart from what every runtime mounts under /dev and /proc. */
async function writable(container: Container): Promise<string[]> {
  const script =
    'for d in / /*/ /etc/wg-punchhole /opt/wg-punchhole /run/* /var/* /var/lib/*; do [ -d "$d" ] && touch "$d/.probe" && rm "$d/.probe" && realpath "$d"; done; true'
  const found = await container.exec('sh', '-c', `{ ${script}; } 2>/dev/null`)
  return [...new Set(found.split('\n'))].filter(folder => !/^\/(dev|proc)$/.test(folder)).sort()
}
