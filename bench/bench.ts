import { accessSync, constants } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { startBackend } from './backend.ts'
import type { Setting, Trial } from './contender.ts'
import { contenders } from './contenders.ts'
import { startEcho } from './datagrams.ts'
import { machine } from './machine.ts'
import { isUdpTest, longestTransfer, type TestName, tests, warmUp } from './measure.ts'
import type { Values } from './metric.ts'
import { address, layNetwork, type Network, type NetworkName, type Path, wireguardGo } from './network.ts'
import { type Entry, type Options, parseOptions, UsageError, usage } from './options.ts'
import { type Run, report, resultsFile } from './report.ts'
import { retry } from './retry.ts'
import type { Row } from './summary.ts'

/**
 * Measures this program's ends beside others that do the same; see README.md. In each round every contender gets fresh
 * namespaces and fresh processes, one after the other.
 */

/** A network and what is measured on it. */
interface Session {
  readonly network: NetworkName
  readonly path: Path | undefined
  readonly measures: (test: TestName) => boolean
}

const sessions: readonly Session[] = [
  // Memory is measured in fresh processes, and traffic in others: the idle connections stay open.
  { network: 'clean', path: undefined, measures: isMemoryTest },
  { network: 'clean', path: undefined, measures: test => isTrafficTest(test) && test !== 'ttfb' },
  { network: 'clean', path: { delay: 20, loss: 0 }, measures: test => test === 'ttfb' },
  { network: 'lossy', path: { delay: 20, loss: 0.01 }, measures: isTrafficTest },
  { network: 'udp', path: undefined, measures: isUdpTest },
]

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

try {
  process.exitCode = await bench(process.argv.slice(2))
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n${usage}` : (error as Error).message)
  process.exitCode = error instanceof UsageError ? 2 : 1
}

async function bench(args: readonly string[]): Promise<number> {
  const options = parseOptions(args, process.env)
  requireMachine()
  const began = performance.now()
  const folder = await mkdtemp(join(tmpdir(), 'wgb-files-'))
  try {
    const rows = await measureAll(options, folder)
    const run: Run = {
      date: new Date().toISOString(),
      command: ['npm run bench --', ...args].join(' '),
      rounds: options.rounds,
      seconds: options.seconds,
      minutes: (performance.now() - began) / 60_000,
      machine: machine(process.env),
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
  const isUdp = (row: Row) => row.network === 'udp'
  for (const [name, rows] of [
    ['RESULTS.md', run.rows.filter(row => !isUdp(row))],
    ['RESULTS-UDP.md', run.rows.filter(isUdp)],
  ] as const)
    if (rows.length > 0) await writeFile(join(import.meta.dirname, name), resultsFile({ ...run, rows }))
}

async function measureAll(options: Options, folder: string): Promise<Row[]> {
  const rows: Row[] = []
  for (let round = 1; round <= options.rounds; round++)
    for (const network of ['clean', 'lossy', 'udp'] as const)
      for (const entry of rotated(options.entries[network], round - 1)) {
        if (stop.signal.aborted) return rows
        const began = performance.now()
        const row = await measureOne(options, folder, { round, network, entry })
        rows.push(row)
        const seconds = ((performance.now() - began) / 1000).toFixed(0)
        console.error(`round ${round}, ${network}, ${entry.label}: ${row.failure ?? `${seconds} s`}`)
      }
  return rows
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
  const values: Values = {}
  const row = { round, network, contender: entry.label, values }
  let realClient: boolean | undefined = true
  try {
    for (const session of sessions) {
      const wanted = options.tests.filter(test => session.network === network && session.measures(test))
      if (wanted.length > 0)
        realClient = (await measureSession(options, folder, { session, entry, wanted, values })) && realClient
    }
    return { ...row, realClient }
  } catch (error) {
    return {
      ...row,
      failure: stop.signal.aborted ? 'interrupted' : (error as Error).message.trim().replaceAll('\n', ' '),
    }
  }
}

/** Adds to `values`; resolves to whether the backend saw the client's own address, where it can tell. */
async function measureSession(
  { seconds, idle, cpuProfile }: Options,
  folder: string,
  what: { session: Session; entry: Entry; wanted: readonly TestName[]; values: Values },
): Promise<boolean | undefined> {
  const { session, entry, wanted, values } = what
  await using network = await layNetwork(session.path, entry.variant)
  const interrupt = () => void network.lab.close()
  stop.signal.addEventListener('abort', interrupt, { once: true })
  try {
    await startBackend(network, folder, longestTransfer({ seconds }))
    if (session.network === 'udp') await startEcho(network)
    const setting = settingOf(entry, session.network, cpuProfile)
    const started = await contenders[entry.name]!.contender.start(network, setting)
    const client = started.url === undefined ? undefined : await seenClient(network, started.url)
    const trial: Trial = { network, started, seconds, idle, folder }
    if (wanted.some(isTrafficTest)) await warmUp(trial)
    for (const test of wanted)
      for (const [name, value] of Object.entries(await tests[test](trial))) values[`${test}.${name}`] = value
    return session.network === 'udp' ? undefined : client === address.client
  } catch (error) {
    const tail = network.lab.output.trim().split('\n').slice(-10).join('\n')
    if (!stop.signal.aborted) console.error(tail)
    throw error
  } finally {
    stop.signal.removeEventListener('abort', interrupt)
  }
}

/**
 * Without loss everybody has BBR. On the lossy one it decides over everything, so each has there what it has
 * by itself: our ends set BBR on their routes, others get CUBIC, which most kernels have as default.
 */
function settingOf(entry: Entry, network: NetworkName, cpuProfile: string | undefined): Setting {
  const own = entry.name.startsWith('ours') || network !== 'lossy' ? 'bbr' : 'cubic'
  return {
    variant: entry.variant,
    congestionControl: entry.variant.congestionControl ?? own,
    cpuProfile,
    udp: network === 'udp',
  }
}

/** Those that want fresh processes. */
function isMemoryTest(test: TestName): boolean {
  return test === 'startup' || test === 'idle'
}

function isTrafficTest(test: TestName): boolean {
  return !isMemoryTest(test) && !isUdpTest(test)
}

/** Waits until the first request passes; the client's address as the backend sees it. */
async function seenClient(network: Network, url: string): Promise<string> {
  const answer = await retry(() => network.client.exec('curl', '-sf', '-m', '1', `${url}/ip`))
  return answer.trim()
}

function requireMachine(): void {
  if (process.getuid?.() !== 0)
    throw new Error('this needs root, for network namespaces, TUN devices and routes; run it with sudo')
  // A plain su leaves the sbin folders out.
  process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`
  const folders = process.env.PATH.split(delimiter)
  const needed = ['ip', 'sysctl', 'ss', 'wg', 'curl', 'wrk', 'nginx', 'haproxy', 'socat']
  const missing = needed.filter(name => !folders.some(folder => isExecutable(join(folder, name))))
  if (missing.length > 0)
    throw new Error(`missing on PATH: ${missing.join(', ')}; scripts/setup.sh bench installs them`)
  if (!isExecutable(wireguardGo)) throw new Error(`there is no ${wireguardGo}; build it with native/build.sh`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
