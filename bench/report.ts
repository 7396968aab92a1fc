import { bars, judge } from './bar.ts'
import type { Machine } from './machine.ts'
import { markdown, number } from './markdown.ts'
import { type Metric, metrics } from './metric.ts'
import { type NetworkName, networkNames, networks } from './networks.ts'
import { cellOf, type Row } from './summary.ts'

/** A whole run, as `--out` writes it. */
export interface Run {
  readonly date: string
  readonly command: string
  readonly rounds: number
  readonly seconds: number
  readonly minutes: number
  readonly machine: Machine
  /** Who should have been measured and was not there, and why. */
  readonly missing?: string
  readonly rows: readonly Row[]
}

/** `bench/RESULTS.md` or its like; of a run with rows. */
export function resultsFile(run: Run): string {
  const { machine } = run
  const facts = [
    ['date', run.date],
    ['command', `\`${run.command}\``],
    [
      'measured',
      `medians of ${run.rounds} rounds, ${run.seconds} s each, in ${run.minutes.toFixed(0)} minutes`,
    ],
    ['processor', `${machine.processor}, ${machine.processors} processors`],
    ['memory', `${machine.memory} GB`],
    ['kernel', machine.kernel],
    ...Object.entries(machine.versions),
    ...(run.missing === undefined ? [] : [['missing', run.missing]]),
  ]
  return `# Results of the last full run

Written by \`npm run bench -- --write-results\`; [README.md](README.md) says what is measured and how. In parentheses the
median of each round's ratio to ${[...new Set(run.rows.map(row => networks[row.network].reference))].join(' or ')} in that round. Only ratios travel to other machines.

${facts.map(([name, fact]) => `- ${name}: ${fact}`).join('\n')}

${report(run.rows)}`
}

/** The tables and the bars, as Markdown that reads well in a terminal too. */
export function report(rows: readonly Row[]): string {
  const tables = networkNames.flatMap(network => {
    const table = tableOf(rows, network)
    return table.length > 1 ? [`## ${networks[network].title}\n\n${markdown(table)}\n`] : []
  })
  const failures = rows.flatMap(({ failure, ...row }) =>
    failure === undefined ? [] : [`- ${row.contender}, ${row.network}, round ${row.round}: ${failure}\n`],
  )
  const verdicts = barsTable(rows)
  return [
    ...tables,
    ...(verdicts.length > 1 ? [`## Bars\n\n${markdown(verdicts)}\n`] : []),
    ...disturbances(rows),
    ...(failures.length > 0 ? [`## Failures\n\n${failures.join('')}`] : []),
  ].join('\n')
}

/** What was thrown away because something else ran, and what had to be kept. */
function disturbances(rows: readonly Row[]): string[] {
  const sum = (count: (row: Row) => number) => rows.reduce((total, row) => total + count(row), 0)
  const sessions = sum(({ disturbance }) => disturbance?.sessions ?? 0)
  if (sessions === 0) return []
  const thrown = sum(({ disturbance }) => disturbance?.thrown.length ?? 0)
  const lines = rows.flatMap(({ contender, network, round, disturbance }) => {
    const line = (what: string) => (why: string) =>
      `- ${what}: ${contender}, ${network}, round ${round}: ${why}\n`
    return [
      ...(disturbance?.thrown ?? []).map(line('thrown away')),
      ...(disturbance?.kept ?? []).map(line('kept, though disturbed')),
    ]
  })
  return [
    `## What else ran\n\nThrown away and measured again: ${thrown} of ${sessions}.\n\n${lines.join('')}`,
  ]
}

/** Title line first; a line for each metric that anybody has. */
export function tableOf(rows: readonly Row[], network: NetworkName): string[][] {
  const here = rows.filter(row => row.network === network)
  const contenders = [...new Set(here.map(row => row.contender))]
  const lines = metrics.flatMap(metric => {
    const cells = contenders.map(contender => cellText(rows, { network, contender }, metric))
    return cells.some(cell => cell !== '–') ? [[`${metric.title}, ${metric.unit}`, ...cells]] : []
  })
  if (lines.length === 0) return []
  const seen = contenders.map(contender => {
    const known = here.flatMap(row => (row.contender === contender ? (row.realClient ?? []) : []))
    return known.length === 0 ? '–' : known.every(Boolean) ? 'yes' : 'no'
  })
  const last = seen.every(text => text === '–') ? [] : [["backend sees the client's address", ...seen]]
  const isDisturbed = (contender: string) =>
    here.some(row => row.contender === contender && (row.disturbance?.kept.length ?? 0) > 0)
  const titles = contenders.map(contender =>
    isDisturbed(contender) ? `${contender} (disturbed)` : contender,
  )
  return [['', ...titles], ...lines, ...last]
}

function cellText(
  rows: readonly Row[],
  at: { network: NetworkName; contender: string },
  { keys }: Metric,
): string {
  const cells = keys.map(key => cellOf(rows, { ...at, key }, networks[at.network].reference))
  if (cells.every(cell => cell === undefined)) return '–'
  const { ratio } = cells.at(-1) ?? {}
  const numbers = cells.map(cell => (cell === undefined ? '–' : number(cell.median)))
  return numbers.join(' / ') + (ratio === undefined ? '' : ` (${ratio.toFixed(2)})`)
}

/** Without the bars of contenders and tests that were left out. */
function barsTable(rows: readonly Row[]): string[][] {
  const verdicts = bars.map(bar => judge(rows, bar)).filter(({ reached }) => reached !== undefined)
  return [
    ['network', 'contender', 'bar', 'asked, × the reference where no unit', 'reached', 'good'],
    ...verdicts.map(({ bar, reached, good }) => {
      const [sign, asked] = bar.atLeast === undefined ? ['≤', bar.atMost!] : ['≥', bar.atLeast]
      const unit = bar.unit === undefined ? '' : ` ${bar.unit}`
      const figures = reached! < 100 ? 2 : 0
      return [
        bar.network,
        bar.contender,
        bar.title,
        `${sign} ${asked}${unit}`,
        `${reached!.toFixed(figures)}${unit}`,
        good ? 'yes' : '**no**',
      ]
    }),
  ]
}
