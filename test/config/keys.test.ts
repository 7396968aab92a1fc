import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, diffieHellman, randomBytes } from 'node:crypto'
import { globSync, readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import t from 'tap'
import { generatePresharedKey, generatePrivateKey, isKey, publicKeyOf } from '../../src/config/keys.ts'

const wg = (command: string, input?: string) =>
  execFileSync('wg', [command], { input, encoding: 'utf8' }).trim()

const pkcs8 = Buffer.from('302e020100300506032b656e04220420', 'hex')
const spki = Buffer.from('302a300506032b656e032100', 'hex')
const raw = (key: string) => Buffer.from(key, 'base64')
/** OpenSSL's. */
const privateKeyObject = (key: string) =>
  createPrivateKey({ key: Buffer.concat([pkcs8, raw(key)]), format: 'der', type: 'pkcs8' })
const publicKeyByCrypto = (key: string) =>
  createPublicKey(privateKeyObject(key))
    .export({ format: 'der', type: 'spki' })
    .subarray(-32)
    .toString('base64')

/** 32 bytes, the lowest first, as RFC 7748 writes numbers. */
const littleEndian = (number: bigint) =>
  Buffer.from(number.toString(16).padStart(64, '0'), 'hex').reverse().toString('base64')
const p = 2n ** 255n - 19n
/** The order of the base point. */
const order = 2n ** 252n + 27742317777372353535851937790883648493n

t.test('public keys are those of node:crypto and of wg, whatever the bytes of the private one', async t => {
  const edges: Record<string, string> = {
    'all bits 0': littleEndian(0n),
    'all bits 1': littleEndian(2n ** 256n - 1n),
    '1': littleEndian(1n),
    '8, the cofactor': littleEndian(8n),
    'the lowest bits, which clamping takes': littleEndian(7n),
    'the two highest bits': littleEndian(3n * 2n ** 254n),
    'the highest bit alone': littleEndian(2n ** 255n),
    'the smallest that is clamped': littleEndian(2n ** 254n),
    'the largest that is clamped': littleEndian(2n ** 255n - 8n),
    'the base point': littleEndian(9n),
    'p - 1': littleEndian(p - 1n),
    p: littleEndian(p),
    'p + 1, not canonical': littleEndian(p + 1n),
    '2 p, not canonical': littleEndian(2n * p),
    'the order of the base point': littleEndian(order),
    'four times that order': littleEndian(4n * order),
    'seven times that order': littleEndian(7n * order),
    'a u of order 8':
      littleEndian(325606250916557431795983626356110631294008115727848805560023387167927233504n),
    'the other u of order 8':
      littleEndian(39382357235489614581723060781553021112529911719440698176882885853963445705823n),
  }
  for (const [name, key] of Object.entries(edges)) {
    t.equal(publicKeyOf(key), wg('pubkey', key), name)
    t.equal(publicKeyOf(key), publicKeyByCrypto(key), name)
  }
  for (let i = 0; i < 100; i++) {
    const key = randomBytes(32).toString('base64')
    const publicKey = publicKeyOf(key)
    if (publicKey !== publicKeyByCrypto(key)) t.fail('not what node:crypto makes of a random key')
    if (i < 30) t.equal(publicKey, wg('pubkey', key))
  }
  const own = generatePrivateKey()
  t.equal(publicKeyOf(own), wg('pubkey', own))
  const theirs = wg('genkey')
  t.equal(publicKeyOf(theirs), wg('pubkey', theirs))
})

t.test('@noble/curves makes all of them, and nothing of node:crypto does', async t => {
  const makers = /\b(createPrivateKey|createPublicKey|generateKeyPair|diffieHellman|createECDH|'x25519')/i
  for (const file of globSync('src/**/*.ts')) t.notMatch(readFileSync(file, 'utf8'), makers, file)
  t.match(readFileSync('package.json', 'utf8'), /"dependencies": \{\s+"@noble\/curves": "\d+\.\d+\.\d+"/)
})

t.test('a key that is asked again is not made again', async t => {
  // Another instance of keys.ts, with a package that tells how often it multiplied.
  const curves = import.meta.resolve('@noble/curves/ed25519.js')
  const counting = `import { x25519 as real } from ${JSON.stringify(curves)}
    export let made = 0
    export const x25519 = { ...real, scalarMult: (...args) => (made++, real.scalarMult(...args)) }`
  const url = `data:text/javascript,${encodeURIComponent(counting)}`
  const hooks = registerHooks({
    resolve: (specifier, context, next) =>
      context.parentURL?.endsWith('keys.ts?counted') && specifier === '@noble/curves/ed25519.js'
        ? { url, shortCircuit: true }
        : next(specifier, context),
  })
  t.teardown(() => hooks.deregister())
  const counted = '../../src/config/keys.ts?counted'
  const keys: typeof import('../../src/config/keys.ts') = await import(counted)
  const counter: { made: number } = await import(url)
  const [a, b] = [keys.generatePrivateKey(), keys.generatePrivateKey()]
  for (const key of [a, a, a]) t.equal(keys.publicKeyOf(key), publicKeyOf(key))
  t.equal(counter.made, 1)
  t.equal(keys.publicKeyOf(b), publicKeyOf(b))
  t.equal(keys.publicKeyOf(a), publicKeyOf(a), 'never the key of another')
})

t.test('RFC 7748 section 6.1', async t => {
  const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64')
  t.equal(
    publicKeyOf(base64('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')),
    base64('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'),
  )
})

t.test('two ends agree on a secret made from generated keys', async t => {
  const [a, b] = [generatePrivateKey(), generatePrivateKey()]
  const secret = (mine: string, theirs: string) =>
    diffieHellman({
      privateKey: privateKeyObject(mine),
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
