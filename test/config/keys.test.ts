import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import t from 'tap'
import { generatePresharedKey, generatePrivateKey, isKey, publicKeyOf } from '../../src/config/keys.ts'

const wg = (command: string, input?: string) =>
  execFileSync('wg', [command], { input, encoding: 'utf8' }).trim()

t.test('public keys are those of node:crypto and of wg', async t => {
  for (let i = 0; i < 20; i++) {
    const { privateKey, publicKey } = generateKeyPairSync('x25519')
    const d = Buffer.from(privateKey.export({ format: 'jwk' }).d!, 'base64url').toString('base64')
    const x = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url').toString('base64')
    t.equal(publicKeyOf(d), x)
  }
  const own = generatePrivateKey()
  t.equal(publicKeyOf(own), wg('pubkey', own))
  const theirs = wg('genkey')
  t.equal(publicKeyOf(theirs), wg('pubkey', theirs))
})

t.test('RFC 7748 section 6.1', async t => {
  const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64')
  t.equal(
    publicKeyOf(base64('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')),
    base64('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'),
  )
})

t.test('two ends agree on a secret made from generated keys', async t => {
  const raw = (key: string) => Buffer.from(key, 'base64')
  const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex')
  const spki = Buffer.from('302a300506032b656e032100', 'hex')
  const [a, b] = [generatePrivateKey(), generatePrivateKey()]
  const secret = (mine: string, theirs: string) =>
    diffieHellman({
      privateKey: createPrivateKey({ key: Buffer.concat([pkcs8, raw(mine)]), format: 'der', type: 'pkcs8' }),
      publicKey: createPublicKey({
        key: Buffer.concat([spki, raw(publicKeyOf(theirs))]),
        format: 'der',
        type: 'spki',
      }),
    })
  t.same(secret(a, b), secret(b, a))
})

t.test('generated keys are keys, clamped, and never the same', async t => {
  const keys = Array.from({ length: 50 }, generatePrivateKey)
  t.ok(keys.every(isKey))
  t.equal(new Set(keys).size, 50)
  for (const key of keys) {
    const bytes = Buffer.from(key, 'base64')
    t.equal(bytes[0]! & 7, 0)
    t.equal(bytes[31]! & 0xc0, 0x40)
  }
  t.ok(isKey(generatePresharedKey()))
  t.not(generatePresharedKey(), generatePresharedKey())
})

t.test('what is no key', async t => {
  const key = generatePresharedKey()
  const hex = '00'.repeat(32)
  for (const text of [
    '',
    key.slice(1),
    `${key}=`,
    ` ${key}`,
    `${key}\n`,
    hex,
    key.replace(/.=$/, 'B='),
    key.replace('=', 'A'),
  ])
    t.notOk(isKey(text), JSON.stringify(text))
  const secret = `${key.slice(0, 40)}!!!=`
  try {
    publicKeyOf(secret)
    t.fail('it throws')
  } catch (error) {
    t.type(error, TypeError)
    t.notOk(String(error).includes(secret.slice(0, 10)), 'and does not show it')
  }
})
