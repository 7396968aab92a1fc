import { readFile } from 'node:fs/promises'
import { fromNumber } from '../address.ts'
import { readSmallFile } from '../files/small-file.ts'
import { openFileLimit } from '../sockets/descriptors.ts'

/** What of this host a config must fit: its own network, which a tunnel must not swallow, and limits. Read from files alone: nothing is asked. */
export interface Host {
  /** The default routes' next hops. */
  readonly gateways: readonly string[]
  readonly nameservers: readonly string[]
  /** Whether the kernel has IPv6. */
  readonly ipv6: boolean
  /** Of TCP, where a route names none; empty where the kernel does not tell. */
  readonly congestionControl: string
  /** How many files this process may hold open. */
  readonly openFiles: number
}

/** @param read a file's text; rejects where there is none. */
export async function readHost(read: (path: string) => Promise<string> = textOf): Promise<Host> {
  const rows = async (path: string): Promise<string[][]> => {
    const text = await read(path).catch(() => undefined)
    return text === undefined ? [] : text.split('\n').map(line => line.trim().split(/\s+/))
  }
  const limits = await read('/proc/self/limits').catch(() => '')
  return {
    gateways: [
      ...(await rows('/proc/net/route')).flatMap(ipv4Gateway),
      ...(await rows('/proc/net/ipv6_route')).flatMap(ipv6Gateway),
    ],
    nameservers: (await rows('/etc/resolv.conf')).flatMap(([word, address]) =>
      word === 'nameserver' && address !== undefined ? [address] : [],
    ),
    ipv6: (await rows('/proc/net/if_inet6')).length > 0,
    congestionControl: (await rows('/proc/sys/net/ipv4/tcp_congestion_control'))[0]?.[0] ?? '',
    openFiles: openFileLimit(() => limits),
  }
}

/** The kernel's files answer always, and need not wait for others that do not. */
async function textOf(path: string): Promise<string> {
  return path.startsWith('/proc/') ? await readFile(path, 'utf8') : (await readSmallFile(path)).text
}

/** `eth0 00000000 010200C0 …`: words in the byte order of the host, little-endian. */
function ipv4Gateway([, destination, gateway = '']: string[]): string[] {
  if (destination !== '00000000' || !/^[0-9A-F]{8}$/.test(gateway) || gateway === '00000000') return []
  return [[...Buffer.from(gateway, 'hex').reverse()].join('.')]
}

/** `DESTINATION 00 SOURCE 00 NEXTHOP …`, each address as 32 hexadecimal digits. */
function ipv6Gateway([destination, bits, , , gateway = '']: string[]): string[] {
  if (bits !== '00' || !/^0{32}$/.test(destination!) || !/^(?!0{32})[0-9a-f]{32}$/.test(gateway)) return []
  return [fromNumber(BigInt(`0x${gateway}`), 6)]
}
