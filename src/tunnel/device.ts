import { existsSync, readFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { type Cidr, canonical } from '../address.ts'
import { EndError, messageOf, systemCode } from '../errors.ts'
import { type Ip, ipBatch } from './ip.ts'

/**
 * The TUN device. It is persistent: it keeps its addresses and routes, and with them every listener and
 * connection, while wireguard-go is away. The link alias marks it as ours; what is not marked is never touched.
 */

export const mark = 'wg-punchhole'

/** A device as `ip -N -json -details` prints it, with its addresses. */
export interface Link {
  readonly ifname: string
  /** The kernel gives each device another one. */
  readonly ifindex: number
  readonly flags: readonly string[]
  readonly mtu: number
  readonly ifalias?: string
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: { readonly type?: string } }
  readonly addr_info?: readonly {
    readonly local: string
    readonly prefixlen: number
    readonly scope: string
  }[]
}

/** RT_SCOPE_LINK of rtnetlink(7). */
const linkScope = '253'

/**
 * Whether a TUN device can be had at all.
 *
 * @throws EndError DEVICE_UNAVAILABLE, one message per way it can be missing.
 */
export async function checkTun(path = '/dev/net/tun', opener: typeof open = open): Promise<void> {
  try {
    await (await opener(path, 'r+')).close()
  } catch (cause) {
    const [found, fix] = tunProblems[systemCode(cause) ?? ''] ?? [
      `cannot be opened: ${messageOf(cause)}`,
      'Make it readable and writable for this user',
    ]
    throw new EndError('DEVICE_UNAVAILABLE', `${path} ${found}`, { fix, cause })
  }
}

const tunProblems: Readonly<Record<string, readonly [found: string, fix: string]>> = {
  ENOENT: [
    'does not exist',
    'Give the container the device (--device /dev/net/tun), or load the module: modprobe tun',
  ],
  ENODEV: ['exists, but the kernel has no TUN driver', 'Load the module on the host: modprobe tun'],
  EPERM: [
    'is forbidden by the device cgroup',
    'Give the container the device (--device /dev/net/tun); in Kubernetes with runc 1.2.0 to 1.2.3 or crun, use a device plugin',
  ],
}

/**
 * Makes the device, or finds the one an earlier run left, and sets it up.
 * `existed` tells which; `attached` whether a process has it open.
 *
 * @throws EndError INTERFACE_TAKEN when there is an interface of that name that is not ours.
 */
export async function ensureDevice(ip: Ip, name: string): Promise<{ existed: boolean; attached: boolean }> {
  const found = await checkInterface(ip, name)
  await ipBatch(ip, [
    ...(found === undefined ? [`tuntap add dev ${name} mode tun`, `link set dev ${name} alias ${mark}`] : []),
    `link set dev ${name} up`,
  ])
  if (found === undefined) return { existed: false, attached: false }
  return { existed: true, attached: !(await inspect(ip, name))?.flags.includes('NO-CARRIER') }
}

/** Our device of that name, if it is there. @throws EndError INTERFACE_TAKEN when it is not ours. */
export async function checkInterface(ip: Ip, name: string): Promise<Link | undefined> {
  const found = await inspect(ip, name)
  if (found !== undefined && !isOurs(found)) throw taken(name, found)
  return found
}

/** Removes the device, its addresses and its routes. Nothing when it is gone already, or is not ours. */
export async function removeDevice(ip: Ip, name: string): Promise<void> {
  const found = await inspect(ip, name)
  if (found !== undefined && isOurs(found)) await ip(['link', 'delete', 'dev', name])
}

/** Gives it the MTU, sets it up if something has set it down, and puts our mark back. */
export async function setLink(ip: Ip, name: string, mtu: number): Promise<void> {
  await ip(['link', 'set', 'dev', name, 'alias', mark, 'mtu', String(mtu), 'up'])
}

/** Whether this kernel lets `name` have IPv6 addresses. */
export function hasIPv6(name: string): boolean {
  if (!existsSync('/proc/net/if_inet6')) return false
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, 'latin1').trim() === '0'
  } catch {
    return false
  }
}

/** Makes the device's addresses these: what is no longer wanted is removed, what is missing added. */
export async function reconcileAddresses(ip: Ip, name: string, wanted: readonly Cidr[]): Promise<void> {
  const texts = wanted.map(textOf)
  const link = await inspect(ip, name)
  const present = addressesOf(link)
  const extra = addressesOf(link, { linkLocal: false }).filter(address => !texts.includes(address))
  await ipBatch(ip, [
    ...extra.map(address => `address delete ${address} dev ${name}`),
    // With an IPv4 address the kernel removes the others of its subnet (promote_secondaries is off), so all are put
    // again, in the same breath.
    ...texts
      .filter(address => extra.length > 0 || !present.includes(address))
      .map(address => putLine(address, name)),
  ])
}

/** Adds what is missing of these addresses; the others stay. */
export async function addAddresses(ip: Ip, name: string, wanted: readonly Cidr[]): Promise<void> {
  const missing = lostAddresses(wanted, await inspect(ip, name))
  await ipBatch(
    ip,
    missing.map(address => putLine(address, name)),
  )
}

/** Of these addresses those that the device does not have. */
export function lostAddresses(wanted: readonly Cidr[], link: Link | undefined): string[] {
  const present = addressesOf(link)
  return wanted.map(textOf).filter(address => !present.includes(address))
}

/** There is nobody on a tunnel to detect duplicates with; without nodad the first second cannot bind. */
function putLine(address: string, name: string): string {
  return `address replace ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`
}

function textOf({ address, bits }: Cidr): string {
  return `${canonical(address)}/${bits}`
}

/** The kernel gives every device a link-local one: those that nobody asked for are left there. */
function addressesOf(link: Link | undefined, { linkLocal } = { linkLocal: true }): string[] {
  return (link?.addr_info ?? [])
    .filter(({ scope }) => linkLocal || scope !== linkScope)
    .map(({ local, prefixlen }) => `${canonical(local)}/${prefixlen}`)
}

async function inspect(ip: Ip, name: string): Promise<Link | undefined> {
  try {
    const options = ['-N', '-json', '-details']
    return (JSON.parse(await ip([...options, 'address', 'show', 'dev', name])) as Link[])[0]
  } catch (error) {
    if (messageOf(error).includes('does not exist')) return undefined
    throw error
  }
}

/** Whether it is marked as ours. */
export function isOurs(link: Link): boolean {
  return link.ifalias === mark && kindOf(link) === 'tun'
}

function kindOf({ linkinfo }: Link): string | undefined {
  return linkinfo?.info_kind === 'tun' ? linkinfo.info_data?.type : linkinfo?.info_kind
}

function taken(name: string, link: Link): EndError {
  const kind = kindOf(link)
  const quick = kind === 'wireguard' || kind === 'tun'
  return new EndError(
    'INTERFACE_TAKEN',
    `there is an interface ${name} already${kind ? `, of kind ${kind}` : ''}, and it is not ours`,
    {
      fix: quick
        ? `Stop its owner (systemctl stop wg-quick@${name}, and disable it), or choose another tunnel.interface`
        : 'Choose another tunnel.interface',
    },
  )
}
