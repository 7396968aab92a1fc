import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { startBackend } from './backend.ts'
import type { Trial } from './contender.ts'
import { contenders } from './contenders.ts'
import { markdown } from './markdown.ts'
import { tests, warmUp } from './measure.ts'
import { layNetwork } from './network.ts'
import { retry } from './retry.ts'
import { countSteps, type Step, stepNames, steps } from './steps.ts'
import { median } from './summary.ts'

/**
 * What a lone request costs each end, step by step: two passes, the request's and the answer's. A profile of each program
 * while one request follows the other, by perf(1); its shares of the CPU that the kernel counts. With few samples, and
 * without the program's own stacks: to look at those costs as much as what is looked at.
 */

const usage = `usage: node bench/pass.ts [options]
  --rounds N        default 3
  --seconds N       for which each contender is watched in a round, default 8
  --contenders A,B  default haproxy,ours,ours-plain
  --beside FILE     another main.js of ours, measured beside this one`

const run = promisify(execFile)
const seen = ['gateway', 'pod'] as const
/** Those with a program at each end, and without anything that would have to be named. */
const known = ['haproxy', 'ours', 'ours-plain']

type Costs = Record<Step, number>
interface Entry {
  readonly name: string
  readonly program?: string
}
/** One end of a contender, in one round. */
interface Sight {
  readonly title: string
  readonly costs: Costs
}

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

const { rounds, seconds, entries } = parse()
await run('perf', ['--version']).catch(() => {
  console.error('perf(1) is not there; install it: Debian has it in linux-perf, Ubuntu in linux-tools')
  process.exit(1)
})
const folder = await mkdtemp(join(tmpdir(), 'wg-punchhole-pass-'))
try {
  const sights: Sight[] = []
  for (let round = 0; round < rounds; round++)
    for (const entry of entries) sights.push(...(await measure(entry)))
  console.log(tableOf(sights))
} finally {
  await rm(folder, { recursive: true })
}

async function measure({ name, program }: Entry): Promise<Sight[]> {
  stop.signal.throwIfAborted()
  await using network = await layNetwork({})
  stop.signal.addEventListener('abort', () => void network.lab.close(), { once: true })
  await startBackend(network, folder, 1)
  const variant = program === undefined ? {} : { program }
  const setting = { variant, congestionControl: 'bbr', cpuProfile: undefined, udp: false }
  const started = await contenders[name]!.contender.start(network, setting)
  await retry(() => network.client.exec('curl', '-sf', '-m', '1', `${started.url}/ip`))
  // One request after the other is measured four times as long as other things are.
  const trial: Trial = { network, started, seconds: seconds / 4, idle: 0, folder }
  await warmUp(trial)
  const profiles = seen.map(end => record(started[end].program!, join(folder, `${name}-${end}`)))
  const [values, ...counts] = await Promise.all([tests.single(trial), ...profiles])
  return seen.map((end, i) => {
    const all = stepNames.reduce((sum, step) => sum + counts[i]![step], 0)
    const cost = (step: Step) => (counts[i]![step] / all) * values[`cpu.${end}`]!
    const costs = Object.fromEntries(stepNames.map(step => [step, cost(step)])) as Costs
    return { title: `${name}${program === undefined ? '' : ' beside'}, ${end}`, costs }
  })
}

/** Counts what a process does, from now on. */
async function record(pid: number, file: string): Promise<Costs> {
  const event = ['-e', 'cpu-clock', '-F', '499', '-g', '--kernel-callchains', '-p', String(pid), '-o', file]
  await run('perf', ['record', ...event, '--', 'sleep', String(seconds)])
  const script = ['script', '-i', file, '-F', 'ip,sym,dso']
  const [chains, leaves] = await Promise.all(
    [script, [...script, '--hide-call-graph']].map(args => run('perf', args, { maxBuffer: 1 << 30 })),
  )
  return countSteps(chains!.stdout, leaves!.stdout)
}

/** In microseconds for each request, the medians of the rounds. */
function tableOf(sights: readonly Sight[]): string {
  const titles = [...new Set(sights.map(({ title }) => title))]
  const line = (what: string, cost: (costs: Costs) => number) => {
    const rounds = (title: string) => sights.filter(sight => sight.title === title)
    return [what, ...titles.map(title => median(rounds(title).map(({ costs }) => cost(costs)))!.toFixed(1))]
  }
  return markdown([
    ['µs of a lone request', ...titles],
    ...stepNames.map(step => line(steps[step], costs => costs[step])),
    line('all', costs => stepNames.reduce((sum, step) => sum + costs[step], 0)),
  ])
}

function parse() {
  const options = {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    contenders: { type: 'string', default: 'haproxy,ours,ours-plain' },
    beside: { type: 'string' },
  } as const
  try {
    const { values } = parseArgs({ options })
    const names = values.contenders.split(',')
    const unknown = names.find(name => !known.includes(name))
    if (unknown !== undefined) throw new Error(`${unknown} is none of ${known.join(', ')}`)
    const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)]
    if (!(rounds >= 1 && rounds <= 20)) throw new Error('--rounds is 1 to 20')
    if (!(seconds >= 1 && seconds <= 60)) throw new Error('--seconds is 1 to 60')
    const others: Entry[] =
      values.beside === undefined ? [] : [{ name: 'ours', program: resolve(values.beside) }]
    return { rounds, seconds, entries: [...names.map((name): Entry => ({ name })), ...others] }
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}
