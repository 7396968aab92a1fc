import { globSync } from 'node:fs'
import { basename } from 'node:path'
import t from 'tap'
import { readDocument } from '../../src/config/document.ts'
import { chart, helm, kubeconform, objects, read, root, skip } from './helm.ts'

const valid = globSync('test/chart/values/valid/*.yaml', { cwd: root }).sort()
const invalid = globSync('test/chart/values/invalid/*.yaml', { cwd: root }).sort()

t.test('valid values', { skip, jobs: 2 }, async t => {
  t.ok(valid.length + invalid.length >= 12)
  for (const file of valid) {
    t.test(basename(file), async t => {
      const values = `${root}${file}`
      const [lint, template] = await Promise.all([
        helm('lint', '--strict', chart, '--values', values),
        helm('template', 'home', chart, '--namespace', 'edge', '--values', values),
      ])
      t.equal(lint.status, 0, lint.stdout)
      t.equal(template.status, 0, template.stderr)

      const checked = await kubeconform(template.stdout)
      t.equal(checked.status, 0, checked.stdout)
      t.match(checked.stdout, /Valid: [1-9]\d*, Invalid: 0, Errors: 0, Skipped: 0/)

      for (const object of objects(template.stdout).values()) {
        const config = object.data?.['config.yaml']
        if (config !== undefined)
          t.same(readDocument('config.yaml', config).issues, [], 'the program takes it')
        t.equal(object.metadata.namespace, 'edge', `${object.kind} ${object.metadata.name}`)
      }
    })
  }
})

t.test('invalid values', { skip, jobs: 2 }, async t => {
  for (const file of invalid) {
    t.test(basename(file), async t => {
      const expected = /^# expected: (.+)$/m.exec(read(file))?.[1]
      const { status, stdout, stderr } = await helm('template', 'home', chart, '--values', `${root}${file}`)
      t.not(status, 0)
      t.equal(stdout, '')
      t.ok(expected !== undefined && stderr.includes(expected), stderr)
    })
  }
})

t.test('kubeconform refuses what Kubernetes would', { skip }, async t => {
  for (const manifest of [
    'apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {port: 80}',
    'apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containers: [{image: x}]}',
    'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, labels: {a: 1}}\nspec: {selector: {}, template: {}}',
    'apiVersion: v1\nkind: Unknown\nmetadata: {name: x}',
  ]) {
    const { status, stdout } = await kubeconform(manifest)
    t.not(status, 0, stdout)
  }
})
