import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { fileOf, folder, licenseIn, linkedModules, runtimePackages } from '../scripts/licenses.ts'

t.test('each npm package of the running program has its own licence text here', async t => {
  const packages = runtimePackages()
  t.ok(packages.includes('pino') && packages.includes('sonic-boom'), 'direct and indirect packages are known')
  for (const name of packages) {
    t.equal(readFileSync(fileOf('npm', name), 'utf8'), licenseIn(join('node_modules', name)), name)
  }
})

t.test('what is linked into wireguard-go has its licence text here', async t => {
  const modules = linkedModules()
  t.ok(
    modules.includes('golang.zx2c4.com/wireguard') && modules.includes('golang.org/x/crypto'),
    'modules are known',
  )
  for (const module of [...modules, 'runtime']) {
    t.match(
      readFileSync(fileOf('go', module), 'utf8'),
      /Permission is hereby granted|Redistribution and use/,
      module,
    )
  }
})

t.test('nothing is left of a package that is gone', async t => {
  const expected = [
    ...runtimePackages().map(name => fileOf('npm', name)),
    ...[...linkedModules(), 'runtime'].map(module => fileOf('go', module)),
  ]
  t.same(
    readdirSync(folder)
      .map(file => join(folder, file))
      .sort(),
    expected.sort(),
  )
})
