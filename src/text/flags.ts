import { parseArgs } from 'node:util'
import { usageError } from '../errors.ts'

export const defaultConfigFile = '/etc/wg-punchhole/config.yaml'
/** Where wireguard-go keeps its socket; its path is fixed. */
export const runFolder = '/var/run/wireguard'
/** Milliseconds that a running end has for an answer. */
export const answerTimeout = 5_000

/** The flags of a command. @throws EndError USAGE for one that is unknown, lacks its value, or for words without a flag. */
export function readFlags<const T extends Readonly<Record<string, { type: 'string' | 'boolean' }>>>(
  args: string[],
  allowed: T,
) {
  try {
    return parseArgs({ args, options: allowed, strict: true, allowPositionals: false }).values
  } catch (error) {
    throw usageError((error as Error).message)
  }
}
