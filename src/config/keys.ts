import { randomBytes } from 'node:crypto'
import { x25519 } from '@noble/curves/ed25519.js'

/** WireGuard's keys: 32 bytes as base64, 44 characters with the padding. */

/** A Curve25519 private key, clamped (RFC 7748 section 5) as `wg genkey` does. */
export function generatePrivateKey(): string {
  const key = randomBytes(32)
  key[0]! &= 248
  key[31] = (key[31]! & 127) | 64
  return key.toString('base64')
}

/** A symmetric key for one pair of peers: 32 random bytes. */
export function generatePresharedKey(): string {
  return randomBytes(32).toString('base64')
}

/** The public key of a private one. @throws TypeError when the text is not a key; the message does not show it. */
export function publicKeyOf(privateKey: string): string {
  if (!isKey(privateKey)) throw new TypeError('not a WireGuard key: 44 characters of base64 for 32 bytes')
  return Buffer.from(x25519.getPublicKey(Buffer.from(privateKey, 'base64'))).toString('base64')
}

/** Whether the text is base64 of 32 bytes in its one canonical spelling: the last character carries 4 bits. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)
}
