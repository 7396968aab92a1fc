import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { machine } from './machine.ts'
import { wireguardGo } from './network.ts'
import { type NetworkName, networkNames, networks } from './networks.ts'
import { type Entry, type Options, parseOptions, UsageError, usage } from './options.ts'
import { sessionsOn } from './plan.ts'
import { workOf } from './process.ts'
import { type Run, report, resultsFile } from './report.ts'
import { measureSession } from './session.ts'
import type { Row } from './summary.ts'
import { provideTrixie } from './trixie.ts'

/**
 * Measures this program's ends beside others that do the same; see README.md. In each round every contender gets fresh
 * namespaces and fresh processes, one after the other.
 */

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

try {
  process.exitCode = await bench(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n${usage}` : (error as Error).message)
  process.exitCode = error instanceof UsageError ? 2 : 1
}

async function bench(args: readonly string[]): Promise<number> {
  const { isFull } = parseOptions(args, process.env)
  const missing = isFull ? await provideTrixie(process.env) : undefined
  if (missing !== undefined) console.error(`without haproxy-trixie: ${missing}`)
  // Again, now that it is known who is there.
  const options = parseOptions(args, process.env)
  requireMachine(options)
  const began = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'wgb-files-'))
  try {
    const rows = await measureAll(options, folder)
    const run: Run = {
      date: new Date().toISOString(),
      // Without a path of one machine.
      command: ['npm run bench --', ...args].join(' ').replace(/ --out[ =]\S+/, ''),
      rounds: options.rounds,
      seconds: options.seconds,
      minutes: (performance.now() - began) / 60_000,
      machine: machine(process.env),
      ...(missing !== undefined && { missing: `haproxy-trixie: ${missing}` }),
      rows,
    }
    console.log(`\n${report(rows)}`)
    if (options.out !== undefined) await writeFile(options.out, `${JSON.stringify(run, null, 2)}\n`)
    if (stop.signal.aborted) return 1
    if (options.writeResults) await writeResults(run)
    return rows.some(row => row.failure !== undefined) ? 1 : 0
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A table of datagrams takes a run of its own: it does not take the place of the others. */
async function writeResults(run: Run): Promise<void> {
  const isUdp = (row: Row) => networks[row.network].protocol === 'udp'
  for (const [name, rows] of [
    ['RESULTS.md', run.rows.filter(row => !isUdp(row))],
    ['RESULTS-UDP.md', run.rows.filter(isUdp)],
  ] as const)
    if (rows.length > 0) await writeFile(join(import.meta.dirname, name), resultsFile({ ...run, rows }))
}

async function measureAll(options: Options, folder: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let round = 1; round <= options.rounds; round++)
    for (const network of networkNames)
      for (const entry of rotated(options.entries[network], round - 1)) {
        if (stop.signal.aborted) return rows
        const began = performance.now()
        const row = await measureOne(options, folder, { round, network, entry })
        rows.push(row)
        const seconds = ((performance.now() - began) / 1000).toFixed(0)
        console.error(
          `round ${round}, ${network}, ${entry.label}: ${row.failure ?? `${seconds} s`}${beside(row)}`,
        )
      }
  return rows
}

/** What else ran, for whoever looks on. */
function beside({ disturbance }: Row): string {
  const { thrown, kept } = disturbance ?? { thrown: [], kept: [] }
  return [...thrown.map(why => `, again: ${why}`), ...kept.map(why => `, disturbed: ${why}`)].join('')
}

/** Each round begins with another one: no place in the order helps one contender in all of them. */
function rotated<T>(entries: readonly T[], by: number): T[] {
  const from = by % Math.max(entries.length, 1)
  return [...entries.slice(from), ...entries.slice(0, from)]
}

/** All tests of one contender on one network; a failure ends what is left of them and is in the row. */
async function measureOne(
  options: Options,
  folder: string,
  { round, network, entry }: { round: number; network: NetworkName; entry: Entry },
): Promise<Row> {
  const disturbance = { sessions: 0, thrown: [] as string[], kept: [] as string[] }
  const row = { round, network, contender: entry.label, values: {}, disturbance }
  let realClient: boolean | undefined = true
  for (const session of sessionsOn(network, options.tests)) {
    const outcome = await measureSession(options, folder, { session, entry, stop: stop.signal })
    Object.assign(row.values, outcome.values)
    disturbance.sessions += outcome.thrown.length + 1
    disturbance.thrown.push(...outcome.thrown)
    if (outcome.disturbed !== undefined) disturbance.kept.push(outcome.disturbed)
    if (outcome.failure !== undefined) return { ...row, failure: outcome.failure }
    realClient = outcome.realClient && realClient
  }
  return { ...row, realClient }
}

function requireMachine({ entries }: Options): void {
  if (process.getuid?.() !== 0)
    throw new Error('this needs root, for network namespaces, TUN devices and routes; run it with sudo')
  // A plain su leaves the sbin folders out.
  process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`
  const folders = process.env.PATH.split(delimiter)
  const needed = ['ip', 'taskset', 'sysctl', 'ss', 'wg', 'curl', 'wrk', 'nginx', 'haproxy', 'socat']
  const missing = needed.filter(name => !folders.some(folder => isExecutable(join(folder, name))))
  if (missing.length > 0)
    throw new Error(`missing on PATH: ${missing.join(', ')}; scripts/setup.sh bench installs them`)
  if (workOf([process.pid]).run === 0)
    throw new Error('this kernel tells no run time in /proc/PID/schedstat; it needs CONFIG_SCHED_INFO')
  if (!isExecutable(wireguardGo)) throw new Error(`there is no ${wireguardGo}; build it with native/build.sh`)
  const oneCore = networkNames.filter(name => networks[name].oneCore && entries[name].length > 0)
  if (oneCore.length > 0 && availableParallelism() < 2)
    throw new Error(
      `${oneCore.join(' and ')} need two processors, this machine has one; choose others with --networks`,
    )
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
