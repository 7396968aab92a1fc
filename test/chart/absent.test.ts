import { cpSync, globSync, writeFileSync } from 'node:fs'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { everything, renderWith, withoutResources } from './absent.ts'
import { chart, helm, read, root, skip, template } from './helm.ts'

/** Values that lack what a later version added, or have what only a parent chart reads. */

t.test('all of them may be missing', { skip }, async t => {
  const given = { tunnel: { existingSecret: 'wg' } }
  for (const values of [given, { ...given, replicas: 2 }, { ...everything, replicas: 0 }]) {
    const [full, bare] = await Promise.all([
      renderWith(t, withoutResources, values),
      renderWith(t, {}, values),
    ])
    t.equal(bare.status, 0, bare.stderr)
    t.equal(bare.stdout, full.stdout)
  }
})

t.test('every template begins with the defaults', async t => {
  const files = globSync(['chart/templates/**/*.yaml', 'chart/templates/NOTES.txt'], { cwd: root })
  t.ok(files.length > 10)
  for (const file of files) t.ok(read(file).startsWith('{{- include "wg-punchhole.defaults" . -}}\n'), file)
})

t.test('a chart that depends on this one may turn it off', { skip }, async t => {
  const { version } = parse(read('chart/Chart.yaml'))
  const parent = t.testdir({
    'Chart.yaml': stringify({
      apiVersion: 'v2',
      name: 'parent',
      version: '1.0.0',
      dependencies: [{ name: 'wg-punchhole', version, condition: 'wg-punchhole.enabled' }],
    }),
    charts: {},
  })
  cpSync(chart, `${parent}/charts/wg-punchhole`, { recursive: true })
  const rendered = async (values: object) => {
    writeFileSync(`${parent}/given.yaml`, stringify({ 'wg-punchhole': values }))
    const { status, stdout, stderr } = await helm(
      'template',
      'home',
      parent,
      '--values',
      `${parent}/given.yaml`,
    )
    t.equal(status, 0, stderr)
    return /^kind: Deployment$/m.test(stdout)
  }
  const tunnel = { existingSecret: 'wg' }
  t.equal(await rendered({ enabled: true, tunnel }), true)
  t.equal(await rendered({ enabled: false, tunnel }), false)
  t.equal(await rendered({ tunnel }), true)
  t.equal(await rendered({ enabled: false }), false, 'without a tunnel, which nobody needs then')
  t.match((await template({ enabled: 'yes', tunnel })).stderr, "at '/enabled': got string, want boolean")
})

t.test('ports are judged before anything is installed', { skip }, async t => {
  const right = [
    '1',
    '65535',
    '8000-8010',
    '8010-8010',
    '8019-8020',
    '999-1000',
    '9-80',
    '60000-65535',
    '1-65535',
  ]
  const wrong = [
    '0',
    '080',
    '65536',
    '99999',
    '8010-8000',
    '8020-8019',
    '1000-999',
    '80-9',
    '60000-65536',
    '65535-65534',
    '8000-',
  ]
  const forward = (ports: string) => ({ listen: `tunnel:${ports}`, target: ['web:1', `web:${ports}`] })
  const config = {
    forwards: Object.fromEntries([...right, ...wrong].map(ports => [`f${ports}`, forward(ports)])),
  }
  const { stderr } = await template({ tunnel: { existingSecret: 'wg' }, config })
  for (const key of ['listen', 'target'])
    for (const ports of right) t.notMatch(stderr, `forwards/f${ports}/${key}'`, `${key} ${ports}`)
  for (const ports of wrong) {
    t.match(stderr, `forwards/f${ports}/listen': value must be 'host:port, [v6]:port, :port`, ports)
    t.match(
      stderr,
      `forwards/f${ports}/target': value must be 'host:port or [v6]:port, ports 1 to 65535`,
      ports,
    )
  }
})
