import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { bigFile } from './backend.ts'
import type { Trial } from './contender.ts'
import { costed, ids, per } from './cost.ts'
import { besideFlood, datagrams } from './datagrams.ts'
import { idle } from './idle.ts'
import { livezDuring } from './livez.ts'
import type { Values } from './metric.ts'
import { residentBytes } from './process.ts'

/** Bulk differs more from one moment to the next than requests do: it is measured so many times as long. */
const longer = 2
/** One request after the other needs as many times as long: of a thousandth, the slowest, there are to be several. */
const lone = 4
/** Seconds by which a download is longer than the requests beside it. */
const beyond = 1

/** In this order. */
export const tests = {
  startup,
  idle,
  single: (trial: Trial) => requests({ ...trial, seconds: lone * trial.seconds }, 1),
  keep: (trial: Trial) => requests(trial, 64),
  new: (trial: Trial) => requests(trial, 64, '-H', 'Connection: close'),
  bulk1: (trial: Trial) => download(trial, 1),
  bulk8: (trial: Trial) => download(trial, 8),
  upload,
  mix,
  livez,
  ttfb: firstByte,
  udp64: (trial: Trial) => datagrams(trial, 64),
  udp1200: (trial: Trial) => datagrams(trial, 1200),
  udpflood: (trial: Trial) => flooded(trial, trial.started.udp),
  udplimit: (trial: Trial) => flooded(trial, trial.started.udpLimited),
} as const

export type TestName = keyof typeof tests
export const testNames = Object.keys(tests) as TestName[]

export function isTest(name: string): name is TestName {
  return Object.hasOwn(tests, name)
}

/** Those of a UDP forward. */
export function isUdpTest(name: TestName): boolean {
  return name.startsWith('udp')
}

/** Without processes to look at there is nothing to say. */
async function startup({ started }: Trial): Promise<Values> {
  const values: Values = {}
  for (const end of ['gateway', 'pod'] as const) {
    if (started[end].program === undefined) continue
    values[`memory.${end}`] = residentBytes(ids(started[end].program, started[end].tunnel)) / 1e6
    const { startTime } = started[end]
    if (startTime !== undefined) values[`time.${end}`] = startTime
  }
  return values
}

/** Requests of a small file: on connections that stay, or each on its own. */
async function requests(trial: Trial, connections: number, ...flags: string[]): Promise<Values> {
  const { result, cost } = await costed(trial, () => wrk(trial, connections, ...flags))
  // Milliseconds per thousand are microseconds each.
  return { ...valuesOf(result), ...per(cost, result.requests / 1e3) }
}

async function download(trial: Trial, streams: number): Promise<Values> {
  const targets = Array.from({ length: streams }, () => ['-o', '/dev/null', `${trial.started.url}/big.bin`])
  const flags = ['-Z', '--parallel-max', String(streams), '-w', '%{size_download}\\n']
  return bulk(trial, async () => {
    const output = await curl(trial, transferTime(trial), ...flags, ...targets.flat())
    return output.split('\n').reduce((sum, line) => sum + (/^\d+$/.test(line) ? Number(line) : 0), 0)
  })
}

/** Counted where it arrives: what the client has sent may be in many buffers still. */
async function upload(trial: Trial): Promise<Values> {
  const counter = '/sys/class/net/to-pod/statistics/rx_bytes'
  const received = async () => Number(await trial.network.backend.exec('cat', counter))
  return bulk(trial, async () => {
    const before = await received()
    const flags = ['-H', 'Expect:', '-o', '/dev/null', '-T', bigFile(trial.folder)]
    await curl(trial, transferTime(trial), ...flags, `${trial.started.url}/up`)
    return (await received()) - before
  })
}

/** `transfer` resolves to the bytes moved. */
async function bulk(trial: Trial, transfer: () => Promise<number>): Promise<Values> {
  const began = performance.now()
  const { result: bytes, cost } = await costed(trial, transfer)
  const milliseconds = performance.now() - began
  return { rate: (bytes * 8) / 1e3 / milliseconds, ...per(cost, bytes / 1e9) }
}

/** Small requests while one download runs beside them: shows who waits behind whom. */
async function mix(trial: Trial): Promise<Values> {
  const args = ['-o', '/dev/null', '-w', '%{speed_download}', `${trial.started.url}/big.bin`]
  let isOver = false
  const beside = curl(trial, longestTransfer(trial), ...args).finally(() => {
    isOver = true
  })
  await sleep(700)
  const result = await wrk({ ...trial, seconds: transferTime(trial) }, 16)
  if (isOver) throw new Error('the download ended before the requests beside it')
  return { ...valuesOf(result), bulk: (Number(await beside) * 8) / 1e6 }
}

type Time = Pick<Trial, 'seconds'>

/** Seconds. */
function transferTime({ seconds }: Time): number {
  return longer * seconds
}

/** Seconds of the download that requests run beside. */
export function longestTransfer(time: Time): number {
  return transferTime(time) + beyond
}

/** Small requests and downloads at the same time, more than there is room for. Others have nothing that could be asked. */
async function livez(trial: Trial): Promise<Values> {
  const { started, network } = trial
  if (started.livez === undefined) return {}
  return livezDuring(network.gateway, started.livez, () =>
    Promise.all([requests({ ...trial, seconds: transferTime(trial) }, 64), download(trial, 8)]),
  )
}

/** What requests and a download reach beside a flood of new UDP flows, as a share of what they reach without it. */
async function flooded(trial: Trial, udp: string | undefined): Promise<Values> {
  if (trial.started.url === undefined || udp === undefined) return {}
  await warmUp(trial)
  const seconds = trial.seconds + transferTime(trial)
  const rates = { requests: [0, 0], download: [0, 0] }
  // In this order whatever makes the machine slower with time slows both.
  for (const beside of [0, 1, 1, 0]) {
    const work = async () => {
      rates.requests[beside]! += (await requests(trial, 64)).rate ?? 0
      rates.download[beside]! += (await download(trial, 1)).rate ?? 0
    }
    await (beside === 0 ? work() : besideFlood(trial.network, { udp, seconds }, work))
  }
  const share = ([alone, beside]: number[]) => beside! / alone!
  return {
    rate: rates.requests[1]! / 2,
    requests: share(rates.requests),
    download: share(rates.download),
  }
}

/** Milliseconds from connecting to the answer's first byte, one new connection at a time. */
async function firstByte(trial: Trial): Promise<Values> {
  const times: number[] = []
  for (let i = 0; i < 4 + trial.seconds * 3; i++) {
    const args = ['-o', '/dev/null', '-w', '%{time_starttransfer}', `${trial.started.url}/small.txt`]
    times.push(Number(await curl(trial, 5, ...args)) * 1000)
    await sleep(30)
  }
  return { time: times.sort((a, b) => a - b)[times.length >> 1]! }
}

/** Small requests and new connections, not counted: machines and just-in-time compilers get going, those in seconds. */
export async function warmUp(trial: Trial): Promise<void> {
  await wrk({ ...trial, seconds: 1 }, 64)
  await wrk({ ...trial, seconds: 3 }, 64, '-H', 'Connection: close')
}

interface WrkResult {
  readonly requests: number
  readonly seconds: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly p999: number
  readonly errors: number
}

/** Without an answer there is no latency. */
function valuesOf({ requests, seconds, errors, ...latency }: WrkResult): Values {
  const { p50, p90, p99, p999 } = latency
  return { rate: requests / seconds, errors, ...(requests > 0 && { p50, p90, p99, 'p99.9': p999 }) }
}

async function wrk(trial: Trial, connections: number, ...flags: string[]): Promise<WrkResult> {
  const script = join(import.meta.dirname, 'wrk.lua')
  const url = `${trial.started.url}/small.txt`
  const running = trial.network.client.start('wrk', [
    ...['-t1', `-c${connections}`, `-d${trial.seconds}s`, '--timeout', '10s', '-s', script],
    ...flags,
    url,
  ])
  await running.exited
  const result = running.log.at(-1)
  if (result === undefined) throw new Error(`wrk: ${running.output}`)
  return result as unknown as WrkResult
}

/** Whatever it could transfer in that time counts, so that running out of time is no failure. */
async function curl(trial: Trial, seconds: number, ...args: string[]): Promise<string> {
  const running = trial.network.client.start('curl', ['-s', '--max-time', String(seconds), ...args])
  await running.exited
  return running.output
}
