import { x25519 } from '@noble/curves/ed25519.js'
import { randomBytes } from '@noble/curves/utils.js'

/** WireGuard's keys: 32 bytes as base64, 44 characters with the padding. */

/** A Curve25519 private key, clamped (RFC 7748 section 5) as `wg genkey` does; the package clamps only when it uses one. */
export function generatePrivateKey(): string {
  const key = x25519.utils.randomSecretKey()
  key[0]! &= 248
  key[31] = (key[31]! & 127) | 64
  return toBase64(key)
}

/** A symmetric key for one pair of peers: 32 random bytes. */
export function generatePresharedKey(): string {
  return toBase64(randomBytes(32))
}

/** The newest pair: a config that is read again has the same private key, most times. */
let newest: { readonly privateKey: string; readonly publicKey: string } | undefined

/** The public key of a private one. @throws TypeError when the text is not a key; the message does not show it. */
export function publicKeyOf(privateKey: string): string {
  if (!isKey(privateKey)) throw new TypeError('not a WireGuard key: 44 characters of base64 for 32 bytes')
  if (newest?.privateKey !== privateKey) newest = { privateKey, publicKey: multiplied(privateKey) }
  return newest.publicKey
}

/**
 * The base point times the key. `scalarMult`, not `getPublicKey`: that one first makes tables for many keys, which cost
 * a running end 9 MB and 40 ms for its one key; see bench/README.md.
 */
function multiplied(privateKey: string): string {
  return toBase64(x25519.scalarMult(Buffer.from(privateKey, 'base64'), x25519.GuBytes))
}

/** Whether the text is base64 of 32 bytes in its one canonical spelling: the last character carries 4 bits. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
