import { parseArgs } from 'node:util'
import {
  type Cidr,
  covers,
  familyOf,
  fromNumber,
  networkOf,
  parseCidr,
  parseHostPorts,
  toNumber,
} from '../address.ts'
import { found } from '../config/issue.ts'
import { usageError } from '../errors.ts'
import { type Forward, parseForwards, refuseTooMany } from './forwards.ts'

/** What the flags of `init` say of a gateway and a cluster end that belong together. */
export interface Pair {
  /** As it was given; relative to the working folder. */
  readonly folder: string
  /** Where the cluster end finds the gateway; the gateway listens on its port. */
  readonly endpoint: { readonly host: string; readonly port: number }
  readonly forwards: readonly Forward[]
  /** A literal without brackets, or a name in the cluster: one that is whole has a dot at its end, so that no search list applies. */
  readonly target: string
  /** Addresses in the tunnel, one of each family at most. */
  readonly gateway: readonly string[]
  /** Those of each replica; the gateway forwards to the first of each. */
  readonly cluster: readonly (readonly string[])[]
  /** Whether the cluster's keys stand in values.yaml instead of a Secret of their own. */
  readonly inline: boolean
}

const defaultPort = 51820
const defaultSubnet = '10.1.10.0/24'
const mostReplicas = 99
/** No address of these is one for a tunnel: this host, link-local, multicast, reserved. */
const unusable = [
  '0.0.0.0/8',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/3',
  '::/8',
  'fe80::/10',
  'ff00::/8',
]

/** @throws EndError `USAGE` for the first flag that is wrong, with what was found and what is allowed. */
export function parsePair(args: readonly string[]): Pair {
  const { values, positionals } = parseFlags(args)
  const folder = parseFolder(positionals)
  const endpoint = parseEndpoint(required(values.endpoint, '--endpoint HOST[:PORT]'))
  const forwards = parseForwards(required(values.forward, '--forward PORT[:TARGETPORT][/udp]'), endpoint.port)
  const target = parseTarget(required(values.target, '--target HOST'))
  const subnets = parseSubnets(values.subnet ?? defaultSubnet)
  refuseTooMany(forwards, subnets.length)
  refuseInside(subnets, '--endpoint', endpoint.host, "the gateway's public address")
  refuseInside(subnets, '--target', target, 'a name or an address in the cluster')
  const replicas = parseReplicas(values.replicas ?? '1', subnets)
  return {
    folder,
    endpoint,
    forwards,
    target,
    gateway: subnets.map(subnet => hostOf(subnet, 1n)),
    cluster: Array.from({ length: replicas }, (_, ordinal) =>
      subnets.map(subnet => hostOf(subnet, BigInt(2 + ordinal))),
    ),
    inline: values.inline ?? false,
  }
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        endpoint: { type: 'string' },
        forward: { type: 'string', multiple: true },
        target: { type: 'string' },
        subnet: { type: 'string' },
        replicas: { type: 'string' },
        inline: { type: 'boolean' },
      },
    })
  } catch (error) {
    throw usageError((error as Error).message)
  }
}

function required<T>(value: T | undefined, flag: string): T {
  if (value === undefined) throw usageError(`${flag} is missing`)
  return value
}

/** What may stand in the commands: docker splits a mount at its colons, helm a list of files at its commas. */
function parseFolder(positionals: readonly string[]): string {
  const [folder = '', ...more] = positionals
  if (more.length > 0) throw usageError(`found ${positionals.length} folders; allowed: one DIR`)
  if (folder === '') throw usageError('DIR is missing, the folder to make')
  if (/^-|[:,\p{Cc}]/u.test(folder))
    throw usageError(
      `DIR: ${found(folder)}; allowed: a path without colons, commas and control characters, and no dash at its start`,
    )
  return folder
}

function parseEndpoint(text: string): Pair['endpoint'] {
  const parsed = parseHostPorts(text) ?? parseHostPorts(`${text}:${defaultPort}`)
  if (parsed === undefined || parsed.host === '' || parsed.first !== parsed.last)
    throw usageError(
      `--endpoint: ${found(text)}; allowed: HOST or HOST:PORT, where HOST is a name, an IPv4 address or [an IPv6 address] and PORT is 1 to 65535`,
    )
  return { host: parsed.host, port: parsed.first }
}

function parseTarget(text: string): string {
  const parsed = parseHostPorts(familyOf(text) === 6 ? `[${text}]:1` : `${text}:1`)
  if (parsed === undefined || parsed.host === '')
    throw usageError(`--target: ${found(text)}; allowed: a name or an address without a port`)
  return isWhole(parsed.host) ? `${parsed.host}.` : parsed.host
}

/** Whether a name lacks only the dot at its end: `traefik`, `traefik.dmz` and `traefik.dmz.svc` are searched for in a cluster. */
function isWhole(host: string): boolean {
  return familyOf(host) === 0 && !/\.$|\.svc$/i.test(host) && host.split('.').length > 2
}

function parseSubnets(text: string): Cidr[] {
  const subnets = text.split(',').map(parseSubnet)
  if (new Set(subnets.map(({ family }) => family)).size < subnets.length)
    throw usageError(`--subnet: ${found(text)}; allowed: one prefix of each family`)
  return subnets
}

function parseSubnet(text: string): Cidr {
  const subnet = parseCidr(text)
  const [shortest, longest] = subnet?.family === 6 ? [32, 126] : [8, 30]
  if (
    subnet === undefined ||
    subnet.bits < shortest ||
    subnet.bits > longest ||
    unusable.some(prefix => covers(parseCidr(prefix)!, subnet.address))
  )
    throw usageError(
      `--subnet: ${found(text)}; allowed: a private prefix such as ${defaultSubnet} (/8 to /30) or fd00:10::/64 (/32 to /126)`,
    )
  return subnet
}

/** The tunnel cannot lead to itself. */
function refuseInside(subnets: readonly Cidr[], flag: string, host: string, allowed: string): void {
  const subnet = subnets.find(subnet => covers(subnet, host))
  if (subnet !== undefined)
    throw usageError(
      `${flag}: found ${host}, which is inside the tunnel's --subnet ${networkOf(subnet)}; allowed: ${allowed}`,
    )
}

function hostOf(subnet: Cidr, number: bigint): string {
  const [network = ''] = networkOf(subnet).split('/')
  return fromNumber(toNumber(network) + number, subnet.family)
}

/** One address of each subnet is the gateway's, and the last of an IPv4 one is its broadcast address. */
function parseReplicas(text: string, subnets: readonly Cidr[]): number {
  const room = subnets.map(({ family, bits }) =>
    family === 6 ? 2 ** (128 - bits) - 2 : 2 ** (32 - bits) - 3,
  )
  const most = Math.min(mostReplicas, ...room)
  const replicas = /^[1-9]\d{0,2}$/.test(text) ? Number(text) : 0
  if (replicas >= 1 && replicas <= most) return replicas
  const limit = most < mostReplicas ? `, for which --subnet ${subnets.map(networkOf).join(',')} has room` : ''
  throw usageError(`--replicas: ${found(text)}; allowed: 1${most > 1 ? ` to ${most}` : ''}${limit}`)
}
