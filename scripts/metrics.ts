import { writeFileSync } from 'node:fs'
import { metrics } from '../src/admin/metrics.ts'

/** docs/metrics.md, from the table that the program itself answers /metrics with. */
export function metricsText(): string {
  const rows = metrics.map(({ name, kind, labels, help }) => [
    `\`${name}\``,
    kind,
    labels.map(label => `\`${label}\``).join(', '),
    help.replaceAll('|', '\\|'),
  ])
  const header = ['Metric', 'Type', 'Labels', 'Meaning']
  const widths = header.map((text, i) => Math.max(text.length, ...rows.map(row => row[i]!.length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return `# Metrics

\`/metrics\` of the admin server, in Prometheus' text format. Values are in base units (seconds, bytes). Labels are bounded: \`forward\` is a
name from the config, \`peer\` the first 8 characters of a public key, \`reason\` one of a fixed list. This page is generated (\`node
scripts/metrics.ts\`) from the table that the program answers with.

${[line(header), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)].join('\n')}

A metric that has nothing to say, a tunnel's where there is none for example, is absent. The chart brings alert rules and a Grafana dashboard for them:
\`metrics.prometheusRule.enabled\`, \`metrics.dashboard.enabled\` ([the cluster with Helm](cluster-helm.md)); what the reasons mean is in [health.md](health.md).
`
}

if (import.meta.main) writeFileSync(new URL('../docs/metrics.md', import.meta.url), metricsText())
