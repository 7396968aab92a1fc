import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startBackend } from './backend.ts'
import { type Ends, type Size, startEnds } from './growth-ends.ts'
import { look, type Sight } from './growth-look.ts'
import { type Growth, growthFile, growthTables, type Step } from './growth-report.ts'
import { established, openIdle } from './idle.ts'
import { machine } from './machine.ts'
import { address, layNetwork, type Network } from './network.ts'

/**
 * What an end costs while nothing happens, by how many forwards, peers and open connections it has; see README.md. Each
 * size has fresh processes, but connections are added to those that are open.
 */

const usage = `usage: node bench/growth.ts [options]
  --quick            small sizes, 2 s each
  --seconds N        for which idle ends are watched, default 20
  --only A,B         of forwards, peers, link, plain; default all
  --program FILE     another main.js of ours
  --out FILE         all numbers as JSON
  --write-results    write bench/RESULTS-GROWTH.md`

/** Descriptors that all connections need: at each end one without a link takes two. */
const wantedFiles = 40_000
/** Of them, those for everything else. */
const otherFiles = 500
const one: Size = { forwards: 1, peers: 1, link: true }

const options = {
  quick: { type: 'boolean' },
  seconds: { type: 'string' },
  only: { type: 'string' },
  program: { type: 'string' },
  out: { type: 'string' },
  'write-results': { type: 'boolean' },
} as const

const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

const { values } = parse()
const quick = values.quick ?? false
/** Milliseconds from the moment when all is reached, or open, until the ends are watched: compilers and collectors settle. */
const settles = quick ? 1000 : 5000
const seconds = Number(values.seconds ?? (quick ? 2 : 20))
const openFiles = raiseOpenFiles()
const sizes = {
  forwards: quick ? [1, 100] : [1, 100, 1000],
  peers: quick ? [1, 4] : [1, 10, 50],
  connections: quick ? [10, 500] : [10, 1000, 15_000],
}

/** What grows, one after the other. */
const growths: Readonly<Record<Growth, () => Promise<Step[]>>> = {
  forwards: () => each('forwards', forwards => ({ ...one, forwards })),
  peers: () => each('peers', peers => ({ ...one, peers })),
  link: () => connections(one),
  plain: () => connections({ ...one, link: false }),
}

const only = (values.only?.split(',') ?? Object.keys(growths)) as Growth[]
const isPart = values.only !== undefined && values['write-results'] === true
if (only.some(name => !Object.hasOwn(growths, name)) || !(seconds > 0) || isPart) {
  console.error(isPart ? `--write-results writes all of it; leave --only out\n${usage}` : usage)
  process.exit(2)
}
process.env.PATH = `${process.env.PATH}:/usr/sbin:/sbin`
const folder = await mkdtemp(join(tmpdir(), 'wgb-files-'))
try {
  const steps: Step[] = []
  for (const name of only) steps.push(...(await growths[name]()))
  const run = {
    date: new Date().toISOString(),
    command: ['npm run bench:growth --', ...process.argv.slice(2)].join(' '),
    seconds,
    machine: machine(process.env),
    steps,
  }
  console.log(growthTables(steps))
  if (values.out !== undefined) await writeFile(values.out, `${JSON.stringify(run, null, 2)}\n`)
  if (values['write-results'])
    await writeFile(join(import.meta.dirname, 'RESULTS-GROWTH.md'), growthFile(run))
} finally {
  await rm(folder, { recursive: true, force: true })
}

function parse() {
  try {
    return parseArgs({ options })
  } catch (error) {
    console.error(`${(error as Error).message}\n${usage}`)
    process.exit(2)
  }
}

/** Of every process that is started from here. Without the right to raise it, it is what it was. */
function raiseOpenFiles(): number {
  try {
    const args = ['--pid', String(process.pid), `--nofile=${wantedFiles}:${wantedFiles}`]
    execFileSync('prlimit', args, { stdio: 'ignore' })
    return wantedFiles
  } catch {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))![1])
  }
}

async function each(growth: 'forwards' | 'peers', sizeOf: (count: number) => Size): Promise<Step[]> {
  const steps: Step[] = []
  for (const count of sizes[growth]) {
    await inNetwork(async network => {
      const ends = await startEnds(network, sizeOf(count), values.program && resolve(values.program))
      steps.push(step(growth, count, ends, await look(ends, { seconds, settles })))
    })
  }
  return steps
}

/** Opens more and more of them through the same two ends. */
async function connections(size: Size): Promise<Step[]> {
  const steps: Step[] = []
  const growth = size.link ? 'link' : 'plain'
  await inNetwork(async network => {
    const ends = await startEnds(network, size, values.program && resolve(values.program))
    let open = 0
    const most = Math.floor((openFiles - otherFiles) / (size.link ? 1 : 2))
    for (const count of sizes.connections.map(count => Math.min(count, most))) {
      await network.client.run(openIdle, { host: address.gateway, wanted: count - open })
      open = await established(network.backend, count)
      if (open < count) throw new Error(`only ${open} of ${count} connections reached the backend`)
      steps.push(step(growth, count, ends, await look(ends, { seconds, settles })))
    }
  })
  return steps
}

async function inNetwork(work: (network: Network) => Promise<void>): Promise<void> {
  stop.signal.throwIfAborted()
  await using network = await layNetwork({})
  const interrupt = () => void network.lab.close()
  stop.signal.addEventListener('abort', interrupt, { once: true })
  try {
    await startBackend(network, folder, 1)
    await work(network)
  } catch (error) {
    if (!stop.signal.aborted) console.error(network.lab.output.trim().split('\n').slice(-10).join('\n'))
    throw error
  } finally {
    stop.signal.removeEventListener('abort', interrupt)
  }
}

function step(growth: Growth, count: number, ends: Ends, sight: Sight): Step {
  console.error(`${growth}, ${count}: ${JSON.stringify(sight)}`)
  const start = { gateway: ends.gateway.startTime!, pod: ends.pod.startTime! }
  return { growth, count, start, reached: ends.reached, ...sight }
}
