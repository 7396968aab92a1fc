import type { Sight } from './growth-look.ts'
import type { Machine } from './machine.ts'
import { markdown, number } from './markdown.ts'

/** What has grown: forwards, peers, connections over a link and connections that cross the tunnel one by one. */
export type Growth = 'forwards' | 'peers' | 'link' | 'plain'

/** One size and what was seen of it. */
export interface Step extends Sight {
  readonly growth: Growth
  readonly count: number
  /** Milliseconds until the end said that it runs. */
  readonly start: { readonly gateway: number; readonly pod: number }
  /** Milliseconds from the gateway's start until all peers were reached. */
  readonly reached: number
}

export interface GrowthRun {
  readonly date: string
  readonly command: string
  readonly seconds: number
  readonly machine: Machine
  readonly steps: readonly Step[]
}

const titles: Readonly<Record<Growth, string>> = {
  forwards: 'Forwards',
  peers: 'Peers of the gateway',
  link: 'Idle connections over a link',
  plain: 'Idle connections without a link',
}

/** Idle CPU in percent of a processor, at the gateway and at the pod, that an end promises to stay below. */
const bars: Partial<Record<Growth, Readonly<Record<number, number>>>> = { peers: { 1: 0.5, 50: 2 } }

export function growthFile(run: GrowthRun): string {
  const { machine } = run
  const facts = [
    ['date', run.date],
    ['command', `\`${run.command}\``],
    ['measured', `idle for ${run.seconds} s each`],
    ['processor', `${machine.processor}, ${machine.processors} processors`],
    ['memory', `${machine.memory} GB`],
    ['kernel', machine.kernel],
    ...['wg-punchhole', 'Node', 'wireguard-go'].map(name => [name, machine.versions[name]!]),
  ]
  return `# What growth costs

Written by \`npm run bench:growth -- --write-results\`; [README.md](README.md) says what is measured and how. CPU is of the
program and its wireguard-go together, in percent of one processor, while there is no traffic.

${facts.map(([name, fact]) => `- ${name}: ${fact}`).join('\n')}

${growthTables(run.steps)}
`
}

/** A table for each that grows, as Markdown. */
export function growthTables(steps: readonly Step[]): string {
  return [...new Set(steps.map(step => step.growth))]
    .map(growth =>
      tableOf(
        growth,
        steps.filter(step => step.growth === growth),
      ),
    )
    .join('\n\n')
}

function tableOf(growth: Growth, steps: readonly Step[]): string {
  const isConnections = growth === 'link' || growth === 'plain'
  const lines: [string, (step: Step) => string][] = [
    ...(isConnections
      ? []
      : ([
          ['start, gateway / pod, ms', step => `${number(step.start.gateway)} / ${number(step.start.pod)}`],
          ['until all is reached, ms', step => number(step.reached)],
        ] as [string, (step: Step) => string][])),
    ['memory of the program, gateway / pod, MB', step => both(step, ({ memory }) => memory.program)],
    ['of wireguard-go, MB', step => both(step, ({ memory }) => memory.tunnel)],
    ['idle CPU, gateway / pod, %', step => both(step, ({ cpu }) => cpu) + verdict(growth, step)],
  ]
  const table = [
    ['', ...steps.map(({ count }) => String(count)), ...(steps.length > 1 ? ['each further one'] : [])],
    ...lines.map(([title, cell]) => [
      title,
      ...steps.map(cell),
      ...(steps.length > 1 ? [further(title, steps)] : []),
    ]),
  ]
  return `## ${titles[growth]}\n\n${markdown(table)}`
}

function both({ gateway, pod }: Sight, of: (idle: Sight['gateway']) => number): string {
  return `${number(of(gateway))} / ${number(of(pod))}`
}

function verdict(growth: Growth, { count, gateway, pod }: Step): string {
  const bar = bars[growth]?.[count]
  if (bar === undefined) return ''
  return Math.max(gateway.cpu, pod.cpu) <= bar ? ` (≤ ${bar})` : ` (**not ≤ ${bar}**)`
}

/** From the first size to the last. */
function further(title: string, steps: readonly Step[]): string {
  const [first, last] = [steps[0]!, steps.at(-1)!]
  const slope = (of: (step: Step) => number) => (of(last) - of(first)) / (last.count - first.count)
  if (title.startsWith('start'))
    return `${number(slope(step => step.start.gateway))} / ${number(slope(step => step.start.pod))} ms`
  if (title.startsWith('until')) return `${number(slope(step => step.reached))} ms`
  if (title.startsWith('idle')) return ''
  const part = title.startsWith('of') ? 'tunnel' : 'program'
  const kilobytes = (end: 'gateway' | 'pod') => number(1000 * slope(step => step[end].memory[part]))
  return `${kilobytes('gateway')} / ${kilobytes('pod')} KB`
}
