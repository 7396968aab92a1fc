import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { parse, stringify } from 'yaml'
import { metrics } from '../../src/admin/metrics.ts'
import { ready, retry, startNginx, startOurs, topology } from '../e2e/topology.ts'
import { killEnd } from '../lab/end.ts'
import { type KubernetesObject, render, root, skip } from './helm.ts'

/**
 * Prometheus scrapes two built ends as the chart's PodMonitor would have it do, and judges the chart's alerts by that;
 * then it is asked the dashboard's queries. What an alert waits for beside its expression, `for`, is promtool's test.
 */

t.setTimeout(180_000)

const everything = parse(readFileSync(`${root}test/chart/values/valid/everything.yaml`, 'utf8'))

/** A metric and what is asked of its labels. */
const selector = /\bwg_punchhole_\w+(?:\{[^}]*\})?/g

t.test('the alerts and the dashboard, by what Prometheus scraped', { skip }, async t => {
  const objects = await render(everything)
  const { spec } = objects.get('PrometheusRule/punchhole')
  const rules: KubernetesObject[] = spec.groups.flatMap((group: KubernetesObject) => group.rules)
  for (const rule of rules) delete rule.for
  const { panels } = JSON.parse(objects.get('ConfigMap/punchhole-dashboard').data['wg-punchhole.json'])
  const queries: { expr: string; legendFormat: string }[] = panels.flatMap(
    ({ targets }: KubernetesObject) => targets,
  )

  const world = await topology()
  t.teardown(() => world.lab.close())
  const nginx = await startNginx(world)
  const gateway = await startOurs(
    world,
    'gateway',
    `forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  closed: { listen: ":81", target: "10.1.10.2:80", allow: [192.0.2.0/24] }
  dns: { protocol: udp, listen: ":53", target: "10.1.10.2:53", acceptProxy: v2-every, trustedProxies: [203.0.113.0/24] }
`,
  )
  const cluster = await startOurs(
    world,
    'cluster',
    'forwards: { http: { listen: "tunnel:80", target: "127.0.0.1:8080" } }\nadmin: { listen: "198.51.100.2:9586" }\n',
  )
  await ready(gateway, cluster)

  const folder = join(world.lab.folder, 'prometheus')
  await mkdir(folder)
  await writeFile(join(folder, 'rules.yaml'), stringify(spec))
  const targets = ['127.0.0.1:9586', '198.51.100.2:9586'].map((target, i) => ({
    targets: [target],
    labels: { namespace: 'edge', pod: `punchhole-${i}` },
  }))
  await writeFile(
    join(folder, 'prometheus.yaml'),
    stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: ['rules.yaml'],
      scrape_configs: [{ job_name: 'edge/punchhole', metrics_path: '/metrics', static_configs: targets }],
    }),
  )
  const prometheus = world.gateway.start('prometheus', [
    `--config.file=${folder}/prometheus.yaml`,
    `--storage.tsdb.path=${folder}/data`,
    '--web.listen-address=127.0.0.1:9090',
  ])

  /** The `data` of an answer of Prometheus' HTTP API. */
  const api = (path: string, parameters: Record<string, string> = {}): Promise<KubernetesObject> =>
    world.gateway.run(
      async url => {
        const { status, data, error } = (await (await fetch(url)).json()) as Record<string, unknown>
        if (status !== 'success') throw new Error(`${url}: ${error}`)
        return data
      },
      `http://127.0.0.1:9090/api/v1/${path}?${new URLSearchParams(parameters)}`,
    )
  const firing = async () => {
    const { alerts } = await api('alerts')
    return (alerts as KubernetesObject[]).map(
      ({ labels: { alertname, pod, forward, reason }, annotations }) => ({
        name: [alertname, pod, forward ?? reason].filter(Boolean).join(' '),
        annotations,
      }),
    )
  }
  /** Waits until these alerts fire, and no other whose name begins with one of `not`; gives all that do. */
  const until = async (t: Test, { fire, not }: { fire: string[]; not: string[] }) => {
    const deadline = Date.now() + 60_000
    for (;;) {
      const alerts = await firing()
      const names = alerts.map(({ name }) => name)
      const missing = fire.filter(name => !names.includes(name))
      const wrong = names.filter(name => !fire.includes(name) && not.some(start => name.startsWith(start)))
      if (missing.length + wrong.length === 0 || Date.now() > deadline) {
        t.same({ missing, wrong }, { missing: [], wrong: [] }, names.join(', '))
        return alerts
      }
      await sleep(200)
    }
  }
  const visit = (port: number) =>
    world.client.exec('curl', '-s', '--max-time', '5', `http://203.0.113.1:${port}/`).catch(() => '')

  /** Without the header that its forward requires. */
  const datagrams = (count: number) =>
    world.client.run(async count => {
      const { createSocket } = await import('node:dgram')
      const socket = createSocket('udp4')
      for (let i = 0; i < count; i++)
        await new Promise(resolve => socket.send('x', 53, '203.0.113.1', resolve))
      socket.close()
    }, count)

  await t.test('all is well: each rule can be evaluated, and none fires', async t => {
    await visit(80)
    await retry(async () => {
      const { result } = await api('query', { query: 'count_over_time(wg_punchhole_ready[1h]) > 2' })
      if (result.length < 2) throw new Error(`not scraped yet\n${prometheus.output}`)
    })
    await until(t, { fire: [], not: ['Wg'] })
    const { groups } = await api('rules')
    const evaluated = groups.flatMap((group: KubernetesObject) => group.rules)
    t.equal(evaluated.length, rules.length)
    for (const { name, health, lastError } of evaluated) t.equal(health, 'ok', `${name} ${lastError ?? ''}`)
  })

  await t.test('what an alert is about makes it fire, with its text; the dashboard shows it', async t => {
    for (let i = 0; i < 30; i++) await visit(81)
    await datagrams(300)
    for (let i = 0; i < 4; i++) {
      const from = gateway.log.length
      const pid = await world.gateway.exec('pgrep', '-f', `wireguard-go -f ${world.interfaces.gateway}$`)
      process.kill(Number(pid), 'SIGKILL')
      await gateway.logged(({ msg }) => msg === 'tunnel up', { from })
    }
    await nginx.stop()
    await visit(80)
    const alerts = await until(t, {
      fire: [
        'WgPunchholeDegraded punchhole-1 backend-down',
        'WgPunchholeDropping punchhole-0 dns',
        'WgPunchholeRefusing punchhole-0 closed',
        'WgPunchholeTargetDown punchhole-1 http',
        'WgPunchholeTunnelRestarts punchhole-0',
      ],
      not: ['WgPunchholeAbsent', 'WgPunchholeUnready', 'WgPunchholeTunnelRestarts'],
    })
    for (const { name, annotations } of alerts)
      t.notMatch(Object.values(annotations).join(), 'no value', name)
    for (const { expr } of queries) {
      const query = expr
        .replaceAll('$namespace', 'edge')
        .replaceAll('$pod', '.*')
        .replaceAll('$__rate_interval', '1m')
      t.ok((await api('query', { query })).result.length > 0, query)
    }
  })

  await t.test('an end that is lost, and then the other one', async t => {
    await killEnd(world.cluster, cluster, world.interfaces.cluster)
    await until(t, { fire: ['WgPunchholeUnready punchhole-0'], not: ['WgPunchholeAbsent'] })
    await gateway.stop()
    await until(t, { fire: ['WgPunchholeAbsent'], not: ['WgPunchholeUnready', 'WgPunchholeDegraded'] })
  })

  await t.test('each metric was there, with the labels that are documented, shown or told', async t => {
    const labelsOf = async (selector: string): Promise<Set<string>> =>
      new Set((await api('series', { 'match[]': selector })).flatMap((series: object) => Object.keys(series)))
    for (const { name, labels } of metrics) {
      const found = await labelsOf(name)
      for (const label of ['namespace', 'pod', ...labels]) t.ok(found.has(label), `${name}: ${label}`)
    }
    const texts = [
      ...rules.map(({ expr, annotations }) => [expr, JSON.stringify(annotations)]),
      ...queries.map(({ expr, legendFormat }) => [expr, legendFormat]),
    ]
    for (const [expr, text] of texts) {
      const selectors: string[] = expr
        .replaceAll('$namespace', 'edge')
        .replaceAll('$pod', '.*')
        .match(selector)
      const found = new Set<string>()
      for (const selector of selectors) {
        const labels = await labelsOf(selector)
        t.ok(labels.size > 0, `${selector} selects something`)
        for (const label of labels) found.add(label)
      }
      for (const [, told, shown] of text.matchAll(/\{\{(?: *\$labels\.(\w+) *|(\w+))\}\}/g))
        t.ok(found.has(told ?? shown), `${expr} has ${told ?? shown}`)
      for (const [, by] of expr.matchAll(/\bby \(([^)]*)\)/g))
        for (const label of by.split(', ')) t.ok(found.has(label), `${expr} has ${label}`)
    }
  })
})
