import { execFileSync, spawn } from 'node:child_process'
import { chmod, readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { createGzip } from 'node:zlib'
import t from 'tap'
import { fileOf, linkedModules, runtimePackages } from '../../scripts/licenses.ts'
import { topology, wgConf } from '../e2e/topology.ts'
import { endFolder, program } from '../lab/end.ts'
import { buildImage, Container, onMachine, podman, skip, tag } from './container.ts'
import { http } from './ends.ts'

t.setTimeout(900_000)

const licences = '/usr/share/licenses/wg-punchhole'

t.test('what is in the image', { skip }, async t => {
  await buildImage()
  const world = await topology()
  t.teardown(() => world.lab.close())
  const inside = async (...args: string[]) => {
    await using container = new Container(world.client, ['--network', 'none', '--cap-drop', 'ALL', ...args])
    return await container.ended()
  }
  const shell = async (script: string) => (await inside('--entrypoint', 'sh', tag, '-c', script)).output

  await t.test('its manifest', async t => {
    const [{ Config: config, Healthcheck: healthcheck }] = JSON.parse(
      await onMachine('image', 'inspect', tag),
    )
    const { version, license } = JSON.parse(await readFile('package.json', 'utf8'))
    t.match(config, {
      User: '0:0',
      StopSignal: 'SIGTERM',
      Entrypoint: ['/usr/bin/tini', '--', 'wg-punchhole'],
      Cmd: ['run'],
      Labels: {
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': license,
      },
    })
    t.same(healthcheck.Test, ['CMD', 'wg-punchhole', 'health', '--live'])
    t.equal(config.Volumes, undefined)
  })

  await t.test('the versions', async t => {
    const { code, output } = await inside('--user', '4711', tag, 'version')
    t.equal(code, 0)
    const [, wireguardGo] = /golang\.zx2c4\.com\/wireguard (v\S+)/.exec(
      await readFile('native/go.mod', 'utf8'),
    )!
    t.match(output, `wireguard-go ${wireguardGo}\n`)
    t.match(output, /^node v24\./m)
  })

  await t.test('nothing that the program does not need when it runs', async t => {
    t.equal(await shell('cd /opt/wg-punchhole && ls'), 'config.schema.json\ndist\nnative\npackage.json')
    t.match(await shell('command -v npm npx corepack tsc go gcc || echo none'), 'none')
  })

  await t.test('the program that the other tests try, byte for byte, and no source map', async t => {
    const tested = execFileSync('sh', ['-c', 'sha256sum *.js'], { cwd: dirname(program), encoding: 'utf8' })
    t.match(tested, / main\.js$/m)
    t.equal(await shell('cd /opt/wg-punchhole/dist && sha256sum *'), tested.trimEnd())
  })

  await t.test('the licence of everything', async t => {
    const files = (await shell(`cd ${licences} && ls`)).split('\n')
    const expected = [
      ...runtimePackages().map(name => fileOf('npm', name)),
      ...[...linkedModules(), 'runtime'].map(module => fileOf('go', module)),
    ].map(path => path.slice('LICENSES/'.length))
    t.same(files.sort(), [...expected, 'LICENSE', 'debian', 'node.txt'].sort())
    t.match(await shell(`head -n 1 ${licences}/node.txt`), /^Node\.js is licensed/)
    const missing = `for p in $(dpkg-query -W -f '\${Package} '); do [ -s ${licences}/debian/$p/copyright ] || echo $p; done`
    t.equal(await shell(missing), '', 'each Debian package has one')
  })

  await t.test('check needs no device, no capability, no network and no particular user', async t => {
    const folder = await endFolder(world.lab, 'gateway', {
      config: `tunnel: { wgConf: wg0.conf }\n${http.gateway}`,
      wgConf: wgConf(world, 'gateway'),
    })
    const mounts = ['--read-only', '--volume', `${folder}:/etc/wg-punchhole:ro`]
    t.match(await inside(...mounts, tag, 'check'), {
      code: 0,
      output: '/etc/wg-punchhole/config.yaml: valid',
    })
    const refused = await inside(...mounts, '--user', '4711', tag, 'check')
    t.equal(refused.code, 3)
    t.match(refused.output, /chown 4711 \/etc\/wg-punchhole\/wg0\.conf/)
    await chmod(`${folder}/wg0.conf`, 0o644)
    const { code, output } = await inside(...mounts, '--user', '4711', tag, 'check')
    t.equal(code, 0)
    t.match(output, /valid$/)
  })

  await t.test('at most 85 MB compressed', async t => {
    const save = spawn(podman, ['save', '--format', 'docker-archive', tag], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let bytes = 0
    // `gzip -9` takes four times as long and comes out 3 % smaller.
    for await (const chunk of save.stdout.pipe(createGzip({ level: 6 }))) bytes += chunk.length
    t.ok(bytes > 50e6 && bytes <= 85e6, `${(bytes / 1e6).toFixed(1)} MB`)
  })
})
