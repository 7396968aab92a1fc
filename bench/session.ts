import { startBackend } from './backend.ts'
import type { Setting, Trial } from './contender.ts'
import { contenders } from './contenders.ts'
import { startEcho } from './datagrams.ts'
import { longestTransfer, tests, warmUp } from './measure.ts'
import type { Values } from './metric.ts'
import { address, layNetwork, type Network } from './network.ts'
import { type NetworkName, networks } from './networks.ts'
import type { Entry, Options } from './options.ts'
import { disturbance, sight } from './others.ts'
import { isTrafficTest, type Session } from './plan.ts'
import { retry } from './retry.ts'

/** What came of it. */
export interface Outcome {
  /** Those that were measured before a failure, too. */
  readonly values: Values
  /** Whether the backend saw the client's own address, where it can tell. */
  readonly realClient?: boolean | undefined
  readonly failure?: string
  /** What else ran meanwhile. */
  readonly disturbed?: string | undefined
  /** The same of those before it that were thrown away for it. */
  readonly thrown: readonly string[]
}

/** Of one contender, again when something else ran; `stop` ends it at once, as a failure. */
export async function measureSession(options: Options, folder: string, what: Task): Promise<Outcome> {
  const thrown: string[] = []
  for (;;) {
    const outcome = { ...(await measureOnce(options, folder, what)), thrown }
    const { disturbed, failure } = outcome
    if (disturbed === undefined || failure !== undefined || thrown.length + 1 === options.attempts)
      return outcome
    thrown.push(disturbed)
  }
}

interface Task {
  readonly session: Session
  readonly entry: Entry
  readonly stop: AbortSignal
}

async function measureOnce(options: Options, folder: string, what: Task): Promise<Omit<Outcome, 'thrown'>> {
  const values: Values = {}
  try {
    return { values, ...(await measure(options, folder, { ...what, values })) }
  } catch (error) {
    const failure = (error as Error).message.trim().replaceAll('\n', ' ')
    return { values, failure: what.stop.aborted ? 'interrupted' : failure }
  }
}

/** Adds to `values`. */
async function measure(
  { seconds, idle, cpuProfile }: Options,
  folder: string,
  what: Task & { values: Values },
): Promise<Pick<Outcome, 'realClient' | 'disturbed'>> {
  const { session, entry, stop, values } = what
  const { protocol, oneCore } = networks[session.network]
  await using network = await layNetwork({ ...entry.variant, path: session.path, oneCore })
  const interrupt = () => void network.lab.close()
  stop.addEventListener('abort', interrupt, { once: true })
  try {
    await startBackend(network, folder, longestTransfer({ seconds }))
    if (protocol === 'udp') await startEcho(network)
    const before = sight()
    const setting = settingOf(entry, session.network, cpuProfile)
    const started = await contenders[entry.name]!.contender.start(network, setting)
    const client = started.url === undefined ? undefined : await seenClient(network, started.url)
    const trial: Trial = { network, started, seconds, idle, folder }
    if (session.tests.some(isTrafficTest)) await warmUp(trial)
    for (const test of session.tests)
      for (const [name, value] of Object.entries(await tests[test](trial))) values[`${test}.${name}`] = value
    const disturbed = disturbance(before, sight())
    return { realClient: protocol === 'udp' ? undefined : client === address.client, disturbed }
  } catch (error) {
    const tail = network.lab.output.trim().split('\n').slice(-10).join('\n')
    if (!stop.aborted) console.error(tail)
    throw error
  } finally {
    stop.removeEventListener('abort', interrupt)
  }
}

/**
 * Without loss everybody has BBR. With loss it decides over everything, so each has there what it has by itself: our ends set
 * BBR on their routes, others get CUBIC, which most kernels have as default.
 */
function settingOf(entry: Entry, network: NetworkName, cpuProfile: string | undefined): Setting {
  const { lossy, protocol } = networks[network]
  const own = entry.name.startsWith('ours') || !lossy ? 'bbr' : 'cubic'
  return {
    variant: entry.variant,
    congestionControl: entry.variant.congestionControl ?? own,
    cpuProfile,
    udp: protocol === 'udp',
  }
}

/** Waits until the first request passes; the client's address as the backend sees it. */
async function seenClient(network: Network, url: string): Promise<string> {
  const answer = await retry(() => network.client.exec('curl', '-sf', '-m', '1', `${url}/ip`))
  return answer.trim()
}
