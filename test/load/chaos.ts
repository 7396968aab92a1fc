import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Relayed } from '../e2e/relayed.ts'
import { leftBehind } from '../e2e/remains.ts'
import { address } from '../e2e/topology.ts'
import type { Load, Target, Transfer } from '../lab/load.ts'
import { seeded } from '../lab/random.ts'
import { draw, type Fault } from './chaos-faults.ts'

/**
 * Faults drawn at random, one after the other, while transfers run all the time through both ends. What must hold: no
 * byte is wrong, no transfer ends early but by a fault that ends transfers, a request is served within a minute after
 * each fault, and at the end the paths are up, and files and memory are where they began.
 */
export interface ChaosOptions {
  readonly seed: number
  readonly faults: number
  readonly print: (line: string) => void
}

/** What the faults act on. */
export interface ChaosLab {
  readonly relayed: Relayed
  load(what: 'reset' | 'stall' | 'finish', ms?: number): Promise<void>
  target(what: 'start' | 'stop'): Promise<void>
}

/** While it lasted, transfers could end like this. */
interface Excuse {
  readonly transfers: Fault['transfers']
  readonly from: number
  to: number
}

/** MiB that a process may have grown since the run began: what a Node heap and wireguard-go's buffers keep for later. */
const growth = 128
const patience = 60_000
const ends = ['gateway', 'cluster'] as const

/** Gives every violation, with the number of the fault; the first one ends the run. */
export async function chaos({ seed, faults, print }: ChaosOptions): Promise<string[]> {
  await using relayed = await Relayed.start()
  const random = seeded(seed)
  const lab = await startLoad(relayed, seed)
  const excuses: Excuse[] = []
  const counts = new Map<string, number>()
  const violations: string[] = []
  const judge = async (when: string) => {
    for (const transfer of await takeTransfers(relayed)) {
      counts.set(transfer.end, (counts.get(transfer.end) ?? 0) + 1)
      if (!allowed(transfer, excuses)) violations.push(`${when}: ${describe(transfer)}`)
    }
  }
  let when = 'before the first fault'
  try {
    await sleep(2000)
    await lab.load('finish')
    await judge(when)
    const before = await footprints(relayed)
    await beginLoad(relayed, seed)
    for (let number = 1; number <= faults && violations.length === 0; number++) {
      const fault = draw(random)
      // Transfers are to be under way, not all waiting from the fault before.
      await sleep(random.between(200, 1500))
      when = `fault ${number} ${fault.text}`
      const excuse: Excuse = { transfers: fault.transfers, from: Date.now(), to: Number.POSITIVE_INFINITY }
      excuses.push(excuse)
      await fault.inflict(lab)
      const ms = await within(relayed.goodRequest(), 'no good request')
      // A port whose target was away is open again after a check, at most a second later.
      for (const end of ends) await within(relayed.until(end, isServed), `${end}: a target is down`)
      excuse.to = Date.now()
      print(`${when}, mended in ${(ms / 1000).toFixed(1)} s`)
      await judge(when)
    }
    if (violations.length > 0) {
      for (const end of ends) for (const line of linesOf(relayed, end)) print(`${end}: ${line}`)
      return violations
    }
    when = `after ${faults} faults`
    await within(lab.load('finish'), 'transfers still run', 3 * patience)
    await judge(when)
    print(`transfers: ${[...counts].map(([end, count]) => `${count} ${end}`).join(', ')}`)
    for (const end of ends) await within(relayed.until(end, isUp), `${end}: not up`)
    violations.push(...(await grown(relayed, before, print)))
    await Promise.all(ends.map(end => relayed[end].stop()))
    for (const end of ends)
      for (const left of await leftBehind(relayed.world[end], relayed.world.interfaces[end]))
        violations.push(`${end}: left behind: ${left}`)
  } catch (error) {
    violations.push(`${when}: ${(error as Error).message}`)
  }
  return violations
}

/** What an end said last, of connections that did not end well. */
function linesOf(relayed: Relayed, end: (typeof ends)[number]): string[] {
  const told = relayed[end].log.filter(line => line.end !== 'complete')
  return told.slice(-20).map(line => JSON.stringify(line))
}

function isUp({ tunnel }: Awaited<ReturnType<Relayed['status']>>): boolean {
  return tunnel.peers.every(({ path }: { path: { state: string } }) => path.state === 'up')
}

function isServed({ forwards }: Awaited<ReturnType<Relayed['status']>>): boolean {
  return forwards.every(({ targets }: { targets: { state: string }[] }) =>
    targets.every(({ state }) => state !== 'down'),
  )
}

function allowed({ began, ended, end }: Transfer, excuses: readonly Excuse[]): boolean {
  if (end === 'complete' || end === 'reset') return true
  if (end === 'wrong') return false
  const during = excuses.filter(({ from, to }) => from <= ended && began <= to)
  // A connection that could not be made yet has lost nothing.
  if (end === 'unserved') return during.length > 0
  return during.some(({ transfers }) => transfers === 'cuts' || (transfers === 'ends' && end !== 'short'))
}

function describe({ way, bytes, began, ended, end }: Transfer): string {
  return `a transfer of ${bytes} bytes ${way} ended after ${ended - began} ms: ${end}`
}

async function startLoad(relayed: Relayed, seed: number): Promise<ChaosLab> {
  const { client, cluster } = relayed.world
  await cluster.run(
    async ({ module, port }, { state }) => {
      const target = new (await import(module)).Target(port)
      await target.start()
      state.set('target', target)
    },
    { module: loadModule, port: 9000 },
  )
  await beginLoad(relayed, seed)
  return {
    relayed,
    load: (what, ms) =>
      client.run(async ({ what, ms }, { state }) => (state.get('load') as Load)[what](ms!), { what, ms }),
    target: what => cluster.run(async (what, { state }) => (state.get('target') as Target)[what](), what),
  }
}

const loadModule = new URL('../lab/load.ts', import.meta.url).href

async function beginLoad({ world }: Relayed, seed: number): Promise<void> {
  await world.client.run(
    async ({ module, options }, { state }) => {
      state.set('load', new (await import(module)).Load(options))
    },
    { module: loadModule, options: { host: address.gateway[4], port: 9000, seed, clients: 4 } },
  )
}

function takeTransfers({ world }: Relayed): Promise<Transfer[]> {
  return world.client.run((_, { state }) => (state.get('load') as Load).take())
}

/** Open files and resident MiB of one process. */
interface Footprint {
  readonly files: number
  readonly mebibytes: number
}

async function footprints(relayed: Relayed): Promise<Map<string, Footprint>> {
  const all = new Map<string, Footprint>()
  for (const end of ends) {
    all.set(`${end} program`, footprint(relayed[end].pid))
    all.set(`${end} wireguard-go`, footprint(await relayed.childPid(end)))
  }
  return all
}

function footprint(pid: number): Footprint {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]
  return { files: readdirSync(`/proc/${pid}/fd`).length, mebibytes: Math.round(Number(kilobytes) / 1024) }
}

/** What did not come back; connections that were cut need a moment to go. */
async function grown(
  relayed: Relayed,
  before: Map<string, Footprint>,
  print: ChaosOptions['print'],
): Promise<string[]> {
  for (const deadline = Date.now() + patience; ; await sleep(500)) {
    const now = await footprints(relayed)
    const bad = [...now].filter(([name, { files, mebibytes }]) => {
      const began = before.get(name)!
      // One that was adopted is watched, by a connection to its socket.
      return files > began.files + 1 || mebibytes > began.mebibytes + growth
    })
    if (bad.length > 0 && Date.now() < deadline) continue
    const line = ([name, { files, mebibytes }]: [string, Footprint]) =>
      `${name}: ${before.get(name)!.files} then ${files} files, ${before.get(name)!.mebibytes} then ${mebibytes} MiB`
    for (const one of now) print(line(one))
    if (bad.length > 0) for (const end of ends) print(`${end}: ${await openFilesOf(relayed, end)}`)
    return bad.map(line)
  }
}

/** What an end has open: its sockets as ss(8) shows them, and everything else. */
async function openFilesOf(relayed: Relayed, end: (typeof ends)[number]): Promise<string> {
  const { pid } = relayed[end]
  const all = await relayed.world[end].exec('ss', '-Hanp', '--tcp', '--udp', '--unix')
  const sockets = all.split('\n').filter(line => line.includes(`pid=${pid},`))
  const others = readdirSync(`/proc/${pid}/fd`).map(fd => readlinkSync(`/proc/${pid}/fd/${fd}`))
  return [...sockets.map(line => line.replace(/ +/g, ' ')), ...others.sort()].join('\n  ')
}

async function within<T>(work: Promise<T>, otherwise: string, ms = patience): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${otherwise} within ${ms / 1000} s`)), ms)
  })
  work.catch(() => {})
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}
