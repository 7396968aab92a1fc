import { parseArgs } from 'node:util'
import { contenders } from './contenders.ts'
import { isTest, isUdpTest, type TestName, testNames } from './measure.ts'
import { isNetwork, type NetworkName, networkNames, networks } from './networks.ts'
import { sessionsOn } from './plan.ts'
import { knownVariants, parseVariant, type Variant } from './variant.ts'

/** A contender as it was asked for: `NAME` or `NAME@VARIANT`. */
export interface Entry {
  readonly label: string
  readonly name: string
  readonly variant: Variant
}

export interface Options {
  readonly rounds: number
  /** Length of each measurement. */
  readonly seconds: number
  /** Connections that are opened to see what an idle one costs. */
  readonly idle: number
  readonly tests: readonly TestName[]
  /** Who is measured where; nobody where the network is left out. */
  readonly entries: Readonly<Record<NetworkName, readonly Entry[]>>
  /** How often something is measured when other processes run each time. */
  readonly attempts: number
  /** Whether all that can be had are to be measured without loss, beside HAProxy a newer one, too. */
  readonly isFull: boolean
  readonly out: string | undefined
  readonly writeResults: boolean
  readonly cpuProfile: string | undefined
}

export class UsageError extends Error {}

export const usage = `usage: node bench/bench.ts [options]
  --quick              1 round of 1 s, our ends and HAProxy only
  --rounds N           default 5
  --seconds N          of each measurement, twice as long for transfers, default 2
  --idle N             idle connections, default 5000
  --tests A,B          of ${testNames.join(' ')}; default all but udp…
  --contenders A,B     of ${Object.keys(contenders).join(' ')}, each also as NAME@VARIANT
  --variant NAME=JSON  settings to try, see bench/README.md; there are ${Object.keys(knownVariants).join(' and ')}
  --networks A,B       of ${networkNames.join(' ')}; default all, with --quick clean and lossy
  --cpu-prof FOLDER    V8 profiles of our ends
  --out FILE           all numbers as JSON
  --write-results      write bench/RESULTS.md, and RESULTS-UDP.md, of what was measured`

/** @throws UsageError */
export function parseOptions(args: readonly string[], env: NodeJS.ProcessEnv): Options {
  const { values } = parse(args)
  const quick = values.quick ?? false
  const variants = { ...knownVariants, ...Object.fromEntries((values.variant ?? []).map(namedVariant)) }
  const tests =
    values.tests === undefined ? testNames.filter(test => !isUdpTest(test)) : testsOf(values.tests)
  const entry = (label: string) => entryOf(label, variants, env)
  const given = values.contenders?.split(',').map(entry)
  const chosen = values.networks?.split(',').map(networkOf) ?? (quick ? quickNetworks : networkNames)
  const measured = chosen.filter(network => sessionsOn(network, tests).length > 0)
  if (measured.length === 0)
    throw new UsageError(
      `there is no ${tests.join(' or ')} on ${chosen.join(' or ')}; choose other --networks`,
    )
  const idle = given?.find(({ name }) => !measured.some(network => takesPart(name, network)))
  if (idle !== undefined)
    throw new UsageError(`${idle.label} has no part in ${tests.join(' ')}; choose others with --tests`)
  const entriesOn = (network: NetworkName) => {
    if (!measured.includes(network)) return []
    const names = (quick ? quickContenders : usualContenders)(network)
    const entries = given ?? names.filter(name => isThere(name.split('@')[0]!, env)).map(entry)
    return entries.filter(({ name }) => takesPart(name, network))
  }
  return {
    rounds: count('rounds', values.rounds, quick ? 1 : 5),
    seconds: count('seconds', values.seconds, quick ? 1 : 2),
    idle: count('idle', values.idle, quick ? 500 : 5000),
    tests,
    entries: {
      clean: entriesOn('clean'),
      lossy: entriesOn('lossy'),
      clean1: entriesOn('clean1'),
      lossy1: entriesOn('lossy1'),
      udp: entriesOn('udp'),
    },
    attempts: quick ? 1 : 3,
    isFull: !quick && given === undefined && (measured.includes('clean') || measured.includes('clean1')),
    out: values.out,
    writeResults: values['write-results'] ?? false,
    cpuProfile: values['cpu-prof'],
  }
}

const ends = ['haproxy', 'ours', 'ours-plain']

/** Those that there are on the machine, of these. */
function usualContenders(network: NetworkName): readonly string[] {
  const { protocol, lossy, oneCore } = networks[network]
  if (protocol === 'udp') return ['socat', 'ours', 'tunnel', 'frp']
  if (lossy) return oneCore ? ends : [...ends, 'ours@cubic']
  return ['tunnel', ...ends, ...Object.keys(contenders).filter(name => ![...ends, 'tunnel'].includes(name))]
}

const quickNetworks: readonly NetworkName[] = ['clean', 'lossy', 'udp']

function quickContenders(network: NetworkName): readonly string[] {
  const { protocol, lossy } = networks[network]
  if (protocol === 'udp') return ['socat', 'ours']
  return lossy ? ['haproxy', 'ours'] : ends
}

function takesPart(contender: string, network: NetworkName): boolean {
  return contenders[contender]!.protocols.includes(networks[network].protocol)
}

function networkOf(text: string): NetworkName {
  if (isNetwork(text)) return text
  throw new UsageError(`there is no network ${JSON.stringify(text)}; there are ${networkNames.join(' ')}`)
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        idle: { type: 'string' },
        tests: { type: 'string' },
        contenders: { type: 'string' },
        variant: { type: 'string', multiple: true },
        networks: { type: 'string' },
        'cpu-prof': { type: 'string' },
        out: { type: 'string' },
        'write-results': { type: 'boolean' },
      },
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function count(name: string, text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text)
  throw new UsageError(`--${name} is ${JSON.stringify(text)}; give a whole number from 1 to 999999`)
}

/** In the order of all: memory after the start is not that after 5,000 connections. */
function testsOf(list: string): readonly TestName[] {
  const wanted = list.split(',').map(testOf)
  return testNames.filter(name => wanted.includes(name))
}

function testOf(text: string): TestName {
  if (isTest(text)) return text
  throw new UsageError(`there is no test ${JSON.stringify(text)}; there are ${testNames.join(' ')}`)
}

function namedVariant(text: string): [string, Variant] {
  const [, name, json] = /^([^=@,]+)=(.*)$/s.exec(text) ?? []
  if (name === undefined) throw new UsageError(`--variant is ${JSON.stringify(text)}; give NAME=JSON`)
  try {
    return [name, parseVariant(json!)]
  } catch (error) {
    throw new UsageError(`--variant ${name}: ${(error as Error).message}`)
  }
}

function entryOf(label: string, variants: Record<string, Variant>, env: NodeJS.ProcessEnv): Entry {
  const [name, variantName, ...rest] = label.split('@') as [string, string?, ...string[]]
  const known = Object.keys(contenders)
  if (!Object.hasOwn(contenders, name) || rest.length > 0)
    throw new UsageError(`there is no contender ${JSON.stringify(label)}; there are ${known.join(' ')}`)
  if (!isThere(name, env))
    throw new UsageError(`${name} needs its programs in ${contenders[name]!.variables.join(' and ')}`)
  if (variantName === undefined) return { label, name, variant: {} }
  if (!Object.hasOwn(variants, variantName))
    throw new UsageError(`there is no variant ${JSON.stringify(variantName)}; define it with --variant`)
  return { label, name, variant: variants[variantName]! }
}

function isThere(name: string, env: NodeJS.ProcessEnv): boolean {
  return contenders[name]!.variables.every(variable => env[variable] !== undefined && env[variable] !== '')
}
