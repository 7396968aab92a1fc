import { join } from 'node:path'
import type { Host, Running } from '../test/lab/lab.ts'
import type { Trial } from './contender.ts'
import { costed, per } from './cost.ts'
import type { Values } from './metric.ts'
import { address, type Network } from './network.ts'
import { retry } from './retry.ts'

/** Clients, each with a socket of its own. */
const flows = 64
/**
 * Datagrams a second for which delay and CPU are asked of everybody: half of what socat passes on two processors. At half of
 * what each passes itself, who passes more would be judged on a busier machine.
 */
const commonRate = 3000
/** Datagrams a second of the flood, each from a client that sent none before. */
const floodRate = 5000
/** Where the flood comes from: RFC 2544 keeps these addresses for benchmarks. */
export const floodSources = '198.18.0.0/15'
/** Of the gateway, and of the echo server. */
export const udpPort = 5000
/** Of the gateway: the same with a bound on new flows. */
export const limitedPort = 5001

const program = join(import.meta.dirname, '../native/bin/udp')

interface Result {
  /** Answers a second; of the flood, which waits for none, datagrams. */
  readonly rate: number
  readonly sent: number
  /** Share, 0 to 1. */
  readonly lost: number
  /** Answers that belonged to another flow, or were not what was sent. */
  readonly foreign: number
  /** Milliseconds from sending to the answer. */
  readonly p50: number
  readonly p99: number
}

/** The echo server behind the pod; answers to the flood go no further than to the client's namespace. */
export async function startEcho({ client, gateway, backend }: Network): Promise<void> {
  await client.exec('ip', 'route', 'add', 'blackhole', floodSources)
  await gateway.route(floodSources, address.client)
  const echo = start(backend, 'echo', `${address.backend}:${udpPort}`)
  await retry(async () => {
    if (!echo.lines.includes('ready')) throw new Error(`the echo server is not there: ${echo.output}`)
  })
}

/** The highest rate of which at most 0.1 % is lost; delay and CPU at a rate that is the same for all. */
export async function datagrams(trial: Trial, size: number): Promise<Values> {
  const { seconds } = trial
  await load(trial, 'load', size, seconds, commonRate)
  const { rate } = await load(trial, 'search', size, seconds / 2)
  const { result, cost } = await costed(trial, () => load(trial, 'load', size, seconds, commonRate))
  // Milliseconds per thousand are microseconds each.
  return { rate, p50: result.p50, p99: result.p99, lost: result.lost, ...per(cost, result.sent / 1e3) }
}

/** Runs it while new flows come to `udp` all the time, for as long as it is said to take. */
export async function besideFlood<T>(
  { client }: Network,
  { udp, seconds }: { udp: string; seconds: number },
  run: () => Promise<T>,
): Promise<T> {
  const flood = resultOf(start(client, 'flood', udp, seconds, floodRate))
  const result = await run()
  const { rate } = await flood
  if (rate < floodRate / 2) throw new Error(`the flood had ${rate.toFixed(0)} datagrams/s only`)
  return result
}

async function load(
  trial: Trial,
  mode: 'search' | 'load',
  size: number,
  ...times: number[]
): Promise<Result> {
  const result = await resultOf(start(trial.network.client, mode, trial.started.udp, flows, size, ...times))
  if (result.foreign > 0)
    throw new Error(`${result.foreign} answers of ${result.sent} were not those of their flow`)
  return result
}

/** Before everybody else's turn: who waits for the processor is to be the contender, never the load. */
function start(host: Host, ...args: (string | number)[]): Running {
  return host.start('nice', ['-n', '-20', program, ...args.map(String)])
}

async function resultOf(running: Running): Promise<Result> {
  await running.exited
  const result = running.log.at(-1)
  if (result === undefined) throw new Error(`udp: ${running.output}`)
  return result as unknown as Result
}
