import { chown } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { topology, wgConf } from '../e2e/topology.ts'
import { endFolder } from '../lab/end.ts'
import { buildImage, Container, hardened, skip, tag } from './container.ts'
import { http } from './ends.ts'

t.setTimeout(900_000)

/** Milliseconds; the program itself ends within 2 s, the rest is podman on a busy machine. */
const bound = 20_000

t.test('what cannot work ends at once with one line that says what to do', { skip }, async t => {
  await buildImage()
  const world = await topology()
  t.teardown(() => world.lab.close())
  const files = { config: `tunnel: { wgConf: wg0.conf }\n${http.gateway}`, wgConf: wgConf(world, 'gateway') }
  const folder = await endFolder(world.lab, 'gateway', files)
  const foreign = await endFolder(world.lab, 'foreign', files)
  await chown(join(foreign, 'wg0.conf'), 1000, 1000)
  const config = ['--volume', `${folder}:/etc/wg-punchhole:ro`]
  const state = ['--tmpfs', '/var/run/wireguard']
  const lowPorts = ['--cap-add', 'NET_BIND_SERVICE']
  const rest = ['--network', 'host', ...lowPorts]
  const without = (flag: string) => {
    const at = hardened.indexOf(flag)
    return hardened.toSpliced(at, 2)
  }

  for (const { what, flags, status, says } of [
    {
      what: 'no device',
      flags: [...without('--device'), ...rest, ...config, ...state],
      status: 1,
      says: /\/dev\/net\/tun .*--device \/dev\/net\/tun/,
    },
    {
      what: 'no NET_ADMIN',
      flags: [...without('--cap-add'), ...rest, ...config, ...state],
      status: 1,
      says: /--cap-add NET_ADMIN/,
    },
    {
      what: 'a run folder that cannot be written to',
      flags: [...hardened, ...rest, ...config],
      status: 1,
      says: /\/var\/run\/wireguard is not writable.*-v wg-punchhole:\/var\/run\/wireguard/,
    },
    {
      what: 'a port that takes a right',
      flags: [...hardened, '--network', 'host', ...config, ...state],
      status: 1,
      says: /listen on .*:80: .*NET_BIND_SERVICE/,
    },
    {
      what: "keys that are another user's",
      flags: [...hardened, ...rest, '--volume', `${foreign}:/etc/wg-punchhole:ro`, ...state],
      status: 3,
      says: /\/etc\/wg-punchhole\/wg0\.conf may not be read.*chown 0:0 \/etc\/wg-punchhole\/wg0\.conf/,
    },
    {
      what: 'no config',
      flags: [...hardened, ...rest, ...state],
      status: 3,
      says: /\/etc\/wg-punchhole\/config\.yaml does not exist/,
    },
  ]) {
    await t.test(what, async t => {
      const began = performance.now()
      await using container = new Container(world.gateway, [...flags, tag])
      const { code, output } = await container.ended()
      t.ok(performance.now() - began < bound, 'it ends soon')
      t.equal(code, status)
      const complaints = output.split('\n').filter(line => !line.startsWith('{"level":"info"'))
      t.equal(complaints.length, 1, `one line: ${output}`)
      t.match(complaints[0], says)
    })
  }
  t.notMatch(await world.gateway.exec('ip', '-brief', 'link'), /^wg0/m, 'no interface is left')
})
