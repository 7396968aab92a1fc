import { randomFillSync } from 'node:crypto'
import { nonceLength } from '../proxy/flow-mark.ts'

/** Asking for many random bytes at once costs little more than asking for a few. */
const pool = Buffer.allocUnsafeSlow(512 * nonceLength)
let left = 0

/** Random bytes that no other flow has. */
export function newNonce(): Buffer {
  if (left === 0) left = randomFillSync(pool).length
  left -= nonceLength
  return Buffer.from(pool.subarray(left, left + nonceLength))
}
