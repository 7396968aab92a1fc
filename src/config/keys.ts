import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto'

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

/** What stands before the 32 bytes of an X25519 private key in PKCS #8, as DER (RFC 8410 section 7). */
const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex')

/** The public key of a private one. @throws TypeError when the text is not a key; the message does not show it. */
export function publicKeyOf(privateKey: string): string {
  if (!isKey(privateKey)) throw new TypeError('not a WireGuard key: 44 characters of base64 for 32 bytes')
  const der = Buffer.concat([pkcs8, Buffer.from(privateKey, 'base64')])
  const key = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
  // It ends with the 32 bytes of the public key (section 4).
  return key.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64')
}

/** Whether the text is base64 of 32 bytes in its one canonical spelling: the last character carries 4 bits. */
export function isKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text)
}
