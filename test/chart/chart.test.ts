import { globSync } from 'node:fs'
import type { JsonSchema } from '@valibot/to-json-schema'
import t from 'tap'
import { parse } from 'yaml'
import { chartSchema } from '../../scripts/chart-schema.ts'
import { read, root, skip, template } from './helm.ts'

const templates = globSync('chart/templates/**/*', { cwd: root, withFileTypes: true }).filter(f => f.isFile())

t.test('Chart.yaml', async t => {
  const { version } = JSON.parse(read('package.json'))
  t.match(parse(read('chart/Chart.yaml')), {
    apiVersion: 'v2',
    version,
    appVersion: version,
    kubeVersion: '>=1.29.0-0',
    annotations: { 'artifacthub.io/license': 'MIT' },
  })
})

t.test('it stays small', async t => {
  t.ok(templates.length <= 14, `${templates.length} templates`)
  const lines = read('chart/values.yaml').split('\n').length
  t.ok(lines <= 200, `values.yaml has ${lines} lines`)
})

t.test('values.schema.json is what scripts/chart-schema.ts makes', async t => {
  t.same(JSON.parse(read('chart/values.schema.json')), chartSchema())
})

t.test('every value does something', { skip, jobs: 2 }, async t => {
  // A value may need another one first; each is tried on top of these in turn.
  const metrics = {
    podMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboard: { enabled: true },
  }
  const ports = [{ name: 'https', port: 443 }]
  const grounds = [
    { tunnel: { existingSecret: 'wg' } },
    {
      tunnel: { wgConf: '[Interface]' },
      service: { enabled: true, ports },
      metrics,
      networkPolicy: { enabled: true },
      podDisruptionBudget: { enabled: true },
    },
    { tunnel: { existingSecret: 'wg', device: 'devicePlugin', deviceResource: 'example.com/tun' } },
    { tunnel: { existingSecret: 'wg' }, replicas: 2 },
  ]
  const others = new Map<string, unknown>([
    ['image.digest', `sha256:${'1'.repeat(64)}`],
    ['image.pullPolicy', 'Always'],
    ['tunnel.device', 'privileged'],
    ['config.forwards', { web: { listen: ':80', target: 'web:80' } }],
    ['config.drainTimeout', '10s'],
    ['service.ports', [{ name: 'http', port: 80 }]],
    ['metrics.podMonitor.interval', '10s'],
    ['replicas', 0],
    ['gatewayPatience', '5m'],
    ['dnsPolicy', 'Default'],
  ])
  /** Values with one choice for now: the schema refuses the other one. */
  const fixed = ['tunnel.mode']

  const rendered = await Promise.all(grounds.map(async ground => (await template(ground)).stdout))
  for (const [path, value] of leaves(parse(read('chart/values.yaml')))) {
    const name = path.join('.')
    if (fixed.includes(name)) continue
    t.test(name, async t => {
      for (const [index, ground] of grounds.entries()) {
        const other = others.get(name) ?? changed(valueAt(ground, path) ?? value)
        const { stdout } = await template(withValue(ground, path, other))
        if (stdout !== '' && stdout !== rendered[index]) return t.pass()
      }
      t.fail('no template renders it')
    })
  }
})

t.test('values.yaml has every key of the schema', async t => {
  const compare = (schema: JsonSchema | boolean, value: unknown, path: string) => {
    if (typeof schema === 'boolean' || schema.properties === undefined) return
    const keys = Object.keys(schema.properties).filter(key => !forParents.includes(`${path}.${key}`))
    t.same(Object.keys(value as object).sort(), keys.sort(), path)
    for (const [key, child] of Object.entries(value as object))
      if (key !== 'config') compare(schema.properties[key]!, child, `${path}.${key}`)
  }
  const forParents = ['values.global', 'values.enabled']
  compare(chartSchema(), parse(read('chart/values.yaml')), 'values')
})

type Path = readonly string[]

function leaves(value: unknown, path: Path = []): [Path, unknown][] {
  const entries = typeof value === 'object' && !Array.isArray(value) ? Object.entries(value!) : []
  if (entries.length === 0) return [[path, value]]
  return entries.flatMap(([key, child]) => leaves(child, [...path, key]))
}

function changed(value: unknown): unknown {
  if (typeof value === 'boolean') return !value
  if (typeof value === 'number') return value + 1
  if (typeof value === 'string') return `${value}9`
  return Array.isArray(value) ? [{ key: 'x' }] : { key: 'x' }
}

function valueAt(values: unknown, path: Path): unknown {
  return path.reduce((value, key) => (value as Record<string, unknown> | undefined)?.[key], values)
}

function withValue(values: object, [key, ...rest]: Path, value: unknown): object {
  const below = (values as Record<string, object>)[key!] ?? {}
  return { ...values, [key!]: rest.length === 0 ? value : withValue(below, rest, value) }
}
