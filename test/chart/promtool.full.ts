import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { render, root, skip } from './helm.ts'

/** The alert rules as Prometheus' own tool reads and runs them. */

const promtool = (...args: string[]) => execFileSync('promtool', args, { encoding: 'utf8', stdio: 'pipe' })

const everything = parse(readFileSync(`${root}test/chart/values/valid/everything.yaml`, 'utf8'))

t.test('the rules are right, and fire when they should', { skip }, async t => {
  const { spec } = (await render(everything)).get('PrometheusRule/punchhole')
  const folder = t.testdir()
  const rules = join(folder, 'rules.yaml')
  writeFileSync(rules, stringify(spec))
  t.match(promtool('check', 'rules', rules), /SUCCESS: \d+ rules found/)

  const end = 'namespace="edge",pod="punchhole-0"'
  const expect = (alertname: string, eval_time: string, labels?: object) => ({
    eval_time,
    alertname,
    exp_alerts: labels === undefined ? [] : [{ exp_labels: labels }],
  })
  const here = { namespace: 'edge', pod: 'punchhole-0' }
  const cases = {
    rule_files: [rules],
    evaluation_interval: '1m',
    tests: [
      {
        interval: '1m',
        input_series: [
          { series: `wg_punchhole_ready{${end}}`, values: '1x4 0x10' },
          { series: `wg_punchhole_forward_target_up{${end},forward="web"}`, values: '1x4 0x20' },
          {
            series: `wg_punchhole_forward_datagrams_dropped_total{${end},forward="dns",reason="too-big"}`,
            values: '0+20x40',
          },
          {
            series: `wg_punchhole_forward_datagrams_total{${end},forward="dns",direction="received"}`,
            values: '0+500x40',
          },
          {
            series: `wg_punchhole_forward_datagrams_dropped_total{${end},forward="game",reason="too-big"}`,
            values: '0+20x40',
          },
          {
            series: `wg_punchhole_forward_datagrams_total{${end},forward="game",direction="received"}`,
            values: '0+9000x40',
          },
          { series: `wg_punchhole_tunnel_process_restarts_total{${end}}`, values: '0 1 2 3 4x20' },
        ],
        alert_rule_test: [
          expect('WgPunchholeUnready', '5m'),
          expect('WgPunchholeUnready', '8m', { ...here, severity: 'critical' }),
          expect('WgPunchholeTargetDown', '8m'),
          expect('WgPunchholeTargetDown', '11m', { ...here, severity: 'warning', forward: 'web' }),
          expect('WgPunchholeTunnelRestarts', '1m'),
          expect('WgPunchholeTunnelRestarts', '6m', { ...here, severity: 'warning' }),
          expect('WgPunchholeAbsent', '6m'),
          expect('WgPunchholeDropping', '15m'),
          // One in 25 of one forward; one in 450 of the other is no alert.
          expect('WgPunchholeDropping', '30m', { pod: 'punchhole-0', severity: 'warning', forward: 'dns' }),
        ],
      },
    ],
  }
  // The texts of annotations are tested with the chart; here it is about when.
  for (const group of spec.groups) for (const rule of group.rules) delete rule.annotations
  writeFileSync(rules, stringify(spec))
  const file = join(folder, 'test.yaml')
  writeFileSync(file, stringify(cases))
  t.match(promtool('test', 'rules', file), /SUCCESS/)

  // The check can fail.
  const wrong = structuredClone(cases)
  wrong.tests[0]!.alert_rule_test = [expect('WgPunchholeUnready', '5m', { ...here, severity: 'critical' })]
  writeFileSync(file, stringify(wrong))
  t.throws(() => promtool('test', 'rules', file))
})
