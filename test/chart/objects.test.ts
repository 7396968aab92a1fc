import { readFileSync } from 'node:fs'
import t from 'tap'
import { parse } from 'yaml'
import { metrics } from '../../src/admin/metrics.ts'
import { chart, type KubernetesObject, kubeconform, minimal, render, root, skip, template } from './helm.ts'

/** All that stands around the deployment. */

const everything = parse(readFileSync(`${root}test/chart/values/valid/everything.yaml`, 'utf8'))

t.test('by default there is what the pod needs, and the way to ask it', { skip }, async t => {
  t.same(
    [...(await render(minimal)).keys()].sort(),
    [
      'ConfigMap/home-wg-punchhole',
      'Deployment/home-wg-punchhole',
      'Pod/home-wg-punchhole-test',
      'Service/home-wg-punchhole-admin',
    ],
    'no Secret of its own, nothing that is off',
  )
})

t.test('a wg0.conf among the values becomes a Secret, unchanged', { skip }, async t => {
  const wgConf = '[Interface]\nPrivateKey = ä\n\n# the end\n'
  const objects = await render({ tunnel: { wgConf, secretKey: 'home.conf' } })
  const secret = objects.get('Secret/home-wg-punchhole')
  t.equal(Buffer.from(secret.data['home.conf'], 'base64').toString(), wgConf)
  const { volumes } = objects.get('Deployment/home-wg-punchhole').spec.template.spec
  t.same(volumes[0].projected.sources[0].secret, {
    name: 'home-wg-punchhole',
    items: [{ key: 'home.conf', path: 'wg0.conf' }],
  })
})

t.test('the config is what was given, and always has a tunnel', { skip }, async t => {
  const config = { ...minimal.config, tunnel: { mtu: 1380 }, log: { level: 'debug' } }
  const objects = await render({ ...minimal, config })
  t.same(parse(objects.get('ConfigMap/home-wg-punchhole').data['config.yaml']), {
    ...config,
    tunnel: { mtu: 1380, mode: 'tun' },
    drainTimeout: '30s',
  })
})

t.test('the admin Service is headless and knows unready pods', { skip }, async t => {
  const { spec } = (await render(minimal)).get('Service/home-wg-punchhole-admin')
  t.equal(spec.clusterIP, 'None')
  t.equal(spec.publishNotReadyAddresses, true)
  t.same(spec.ports, [{ name: 'admin', port: 9586, targetPort: 'admin' }])
})

t.test('hairpin: a port of its own for clients inside, as docs/hairpin.md has it', { skip }, async t => {
  const [, documented] =
    /^```yaml\n([\s\S]*?)^```$/m.exec(readFileSync(`${root}docs/hairpin.md`, 'utf8')) ?? []
  const given = parse(readFileSync(`${root}test/chart/values/valid/hairpin.yaml`, 'utf8'))
  t.same(parse(documented!), { config: given.config, service: given.service })
  const objects = await render(given)
  const { spec } = objects.get('Service/home-wg-punchhole')
  t.same(spec.ports, [{ name: 'http', port: 80, targetPort: 8080 }])
  t.match(objects.get('Deployment/home-wg-punchhole').spec.template.metadata.labels, spec.selector)
  t.match(
    parse(objects.get('ConfigMap/home-wg-punchhole').data['config.yaml']).forwards,
    given.config.forwards,
  )
})

t.test('what is off by default', { skip }, async t => {
  const objects = await render(everything)
  const labels = { 'app.kubernetes.io/name': 'wg-punchhole', 'app.kubernetes.io/instance': 'home' }

  t.test('every selector finds the pod', async t => {
    const { metadata } = objects.get('Deployment/punchhole').spec.template
    t.match(metadata.labels, labels)
    t.same(objects.get('Service/punchhole').spec.selector, labels)
    t.same(objects.get('Service/punchhole-admin').spec.selector, labels)
    t.same(objects.get('PodMonitor/punchhole').spec.selector.matchLabels, labels)
    t.same(objects.get('NetworkPolicy/punchhole').spec.podSelector.matchLabels, labels)
    t.same(objects.get('PodDisruptionBudget/punchhole').spec.selector.matchLabels, labels)
    const test = objects.get('Pod/punchhole-test').metadata.labels
    t.notMatch(test, labels, 'but not the pod of helm test')
  })

  t.test('hairpin Service', async t => {
    t.same(objects.get('Service/punchhole').spec.ports, [
      { name: 'https', port: 443, targetPort: 8443 },
      { name: 'dns', port: 53, targetPort: 5353, protocol: 'UDP' },
    ])
  })

  t.test('NetworkPolicy', async t => {
    const { spec } = objects.get('NetworkPolicy/punchhole')
    t.same(spec.policyTypes, ['Ingress', 'Egress'])
    const [admin, service, ...rest] = spec.ingress
    t.same(admin.ports, [{ port: 'admin' }])
    t.same(admin.from[0], everything.networkPolicy.adminFrom[0])
    t.match(objects.get('Pod/punchhole-test').metadata.labels, admin.from[1].podSelector.matchLabels)
    t.same(service, { ports: [{ port: 8443 }, { port: 5353, protocol: 'UDP' }] })
    t.same(rest, [])
    t.same(spec.egress[0].ports, [
      { port: 53, protocol: 'UDP' },
      { port: 53, protocol: 'TCP' },
    ])
    t.same(spec.egress.slice(1), everything.networkPolicy.egress)

    const closed = await render({ ...minimal, networkPolicy: { enabled: true } })
    const policy = closed.get('NetworkPolicy/home-wg-punchhole').spec
    t.same(policy.policyTypes, ['Ingress'])
    t.same(policy.ingress, [{ ports: [{ port: 'admin' }], from: [{ podSelector: {} }] }])
    t.notOk(policy.egress)
  })

  t.test('PodDisruptionBudget', async t => {
    t.match(objects.get('PodDisruptionBudget/punchhole').spec, {
      maxUnavailable: 0,
      unhealthyPodEvictionPolicy: 'AlwaysAllow',
    })
  })

  t.test('PodMonitor', async t => {
    const { metadata, spec } = objects.get('PodMonitor/punchhole')
    t.equal(metadata.labels.release, 'prometheus')
    t.same(spec.podMetricsEndpoints, [{ port: 'admin', path: '/metrics', interval: '30s' }])
  })

  t.test('alerts and dashboard use metrics, and labels, that there are', async t => {
    const dashboard = objects.get('ConfigMap/punchhole-dashboard')
    t.equal(dashboard.metadata.labels.grafana_dashboard, '1')
    const { panels, templating } = JSON.parse(dashboard.data['wg-punchhole.json'])
    const alerts = objects.get('PrometheusRule/punchhole').spec.groups[0].rules as KubernetesObject[]
    const queries: [string, string][] = [
      ...alerts.map(({ alert, expr }) => [alert, expr] as [string, string]),
      ...panels.flatMap(({ title, targets }: KubernetesObject) =>
        targets.map(({ expr, legendFormat }: KubernetesObject) => [title, `${expr} ${legendFormat}`]),
      ),
      ...templating.list.map(({ name, query }: KubernetesObject) => [name, JSON.stringify(query)]),
    ]
    t.ok(queries.length > 15)
    const known = new Map<string, readonly string[]>(metrics.map(({ name, labels }) => [name, labels]))
    for (const [what, query] of queries) {
      const names = query.match(/\bwg_punchhole_\w+/g) ?? []
      t.ok(names.length > 0 || what === 'datasource', what)
      for (const name of names) {
        t.ok(known.has(name), `${what}: ${name}`)
        const counted = /\b(rate|increase)\(/.test(query)
        t.equal(name.endsWith('_total'), counted, `${what}: a counter, and nothing else, is taken as a rate`)
      }
      const labels = ['namespace', 'pod', ...names.flatMap(name => known.get(name)!)]
      for (const [, label] of query.matchAll(/\{\{(\w+)\}\}/g))
        t.ok(labels.includes(label!), `${what}: ${label}`)
    }
    for (const { alert, annotations, expr } of alerts) {
      t.ok(annotations.summary && annotations.description, alert)
      t.match(expr, 'namespace="edge", pod=~"punchhole-.*"')
    }
    t.same(JSON.parse(readFileSync(`${chart}/files/dashboard.json`, 'utf8')).panels, panels)
  })
})

t.test('a long name stays within 63 characters', { skip }, async t => {
  for (const name of (await render({ ...everything, fullnameOverride: 'a'.repeat(63) })).keys())
    t.ok(name.split('/')[1]!.length <= 63, name)
})

t.test('a name that looks like a number stays a name', { skip }, async t => {
  const manifest = await template({ ...everything, fullnameOverride: '1', nameOverride: '2' })
  const { status, stdout } = await kubeconform(manifest.stdout)
  t.equal(status, 0, stdout)
})
