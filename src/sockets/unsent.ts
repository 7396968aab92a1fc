import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { toNumber } from '../address.ts'

/** Milliseconds between two looks, and until a far end is taken for gone. */
const lookEvery = 50
const patience = 5000

/**
 * Resolves when everything has arrived that was sent from these addresses; later than `signal` or after some seconds it
 * is not waited for. A connection is over for the program once the kernel has taken its last byte; but when the addresses
 * go, with the tunnel, what the kernel has not sent by then is lost.
 */
export async function allSent(addresses: readonly string[], signal: AbortSignal): Promise<void> {
  const wanted = new Set(addresses.map(kernelForm))
  const late = AbortSignal.any([signal, AbortSignal.timeout(patience)])
  while (!late.aborted && (await isUnsent(wanted)))
    await sleep(lookEvery, undefined, { signal: late }).catch(() => {})
}

/** Whether a connection from one of them has bytes that are not acknowledged. */
async function isUnsent(addresses: ReadonlySet<string>): Promise<boolean> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map(file => readFile(file, 'latin1').catch(() => '')),
  )
  // Its number; address and port of this side and the other; state; bytes to be sent and to be read.
  const line = /^ *\d+: ([0-9A-F]+):\S+ \S+ \S+ ([0-9A-F]+):/gm
  return tables
    .flatMap(table => [...table.matchAll(line)])
    .some(([, address, unsent]) => addresses.has(address!) && Number.parseInt(unsent!, 16) > 0)
}

/** As these tables show an address: 32-bit words in hexadecimal, each in the processor's byte order. */
function kernelForm(address: string): string {
  const isV6 = address.includes(':')
  const bytes = Buffer.from(
    toNumber(address)
      .toString(16)
      .padStart(isV6 ? 32 : 8, '0'),
    'hex',
  )
  return bytes.swap32().toString('hex').toUpperCase()
}
