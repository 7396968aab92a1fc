import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { ClientHelloReader, type Hello } from '../../src/connection/client-hello.ts'
import {
  encryptedHello,
  extension,
  grease,
  helloFor,
  keyShare,
  message,
  realHello,
  records,
  serverNames,
  vector,
} from '../forward/hello.ts'

/** What the reader says of bytes that come in these pieces, and after how many bytes. */
function read(bytes: Buffer, cuts: readonly number[] = []): { hello: Hello | undefined; at: number } {
  const reader = new ClientHelloReader()
  const ends = [...new Set([...cuts.filter(cut => cut < bytes.length), bytes.length])].sort((a, b) => a - b)
  let from = 0
  for (const end of ends) {
    const hello = reader.read(bytes.subarray(from, end))
    if (hello !== undefined) return { hello, at: end }
    from = end
  }
  return { hello: undefined, at: bytes.length }
}

const everyByte = (bytes: Buffer) => Array.from(bytes, (_, i) => i + 1)
const named = (name: string | undefined): Hello => ({ isTls: true, name })

const example = helloFor('www.example.com')

t.test('a name, in one piece and byte by byte', async t => {
  t.ok(example.length > 1200, 'a post-quantum hello: more than one segment')
  t.same(read(example), { hello: named('www.example.com'), at: example.length })
  t.same(read(example, everyByte(example)), { hello: named('www.example.com'), at: example.length })
})

t.test('cut in two at every byte', async t => {
  for (let cut = 1; cut < example.length; cut++)
    if (read(example, [cut]).hello?.isTls !== true) t.fail(`cut at ${cut}`)
})

t.test('split over records of every size', async t => {
  const whole = message([serverNames('a.example.com'), ...grease])
  for (let size = 1; size <= whole.length; size++) {
    const bytes = records(whole, size)
    for (const cuts of [[], everyByte(bytes)])
      t.same(read(bytes, cuts), { hello: named('a.example.com'), at: bytes.length }, `records of ${size}`)
  }
})

t.test('what comes behind it is not looked at', async t => {
  const more = Buffer.concat([example, Buffer.from('early data, or anything')])
  t.same(read(more).hello, named('www.example.com'))
  const tail = records(Buffer.concat([message([serverNames('a.example')]), Buffer.alloc(3000, 255)]), 100)
  t.same(read(tail, [150]).hello, named('a.example'), 'in its last record')
})

t.test('names', async t => {
  for (const [given, name] of [
    ['WWW.Example.COM', 'www.example.com'],
    ['www.example.com.', 'www.example.com'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['_sip.example', '_sip.example'],
    ['localhost', 'localhost'],
    ['a.example\0.evil.example', undefined],
    ['a.example\0', undefined],
    ['\0', undefined],
    ['bücher.example', undefined],
    ['192.0.2.7', undefined],
    ['2001:db8::1', undefined],
    ['.', undefined],
    ['a..example', undefined],
    ['*.example.com', undefined],
    [`${'a.'.repeat(126)}b`, `${'a.'.repeat(126)}b`],
    [`${'a.'.repeat(126)}bc`, undefined],
    ['a'.repeat(10_000), undefined],
  ] as const)
    t.same(read(records(message([serverNames(given)]))).hello, named(name), given.slice(0, 30))
})

t.test('hellos without a name', async t => {
  t.same(read(records(message(undefined))).hello, named(undefined), 'no extensions at all')
  t.same(read(records(message([]))).hello, named(undefined), 'none in the list')
  t.same(read(records(message([...grease, keyShare]))).hello, named(undefined), 'others')
  t.same(read(records(message([serverNames([7, 'x'])]))).hello, named(undefined), 'a name of another type')
})

t.test('a name beside one of another type, and the outer one of an encrypted hello', async t => {
  t.same(read(records(message([serverNames([7, 'x'], 'a.example')]))).hello, named('a.example'))
  t.same(
    read(records(message([encryptedHello, serverNames('public.example')]))).hello,
    named('public.example'),
  )
})

const none = (hello: Hello | undefined) => (hello?.isTls === false ? hello.detail : hello)

t.test('not TLS: known as soon as it is', async t => {
  for (const [bytes, at, detail] of [
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), 1, /record of type 71/],
    [Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), 1, /type 83/],
    [Buffer.from([0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10]), 1, /type 128/], // SSL 2.0
    [Buffer.from([22, 254, 253, 0, 0]), 2, /version 254/], // DTLS
    [Buffer.from([22, 3, 1, 0, 0, 22]), 5, /a record of 0 bytes/],
    [Buffer.from([22, 3, 1, 0x40, 1, 1]), 5, /a record of 16385 bytes/],
    [Buffer.from([22, 3, 1, 0, 9, 2, 0, 0, 5]), 6, /message of type 2/],
    [Buffer.from([21, 3, 1, 0, 2, 1, 0]), 1, /type 21/],
    [Buffer.from([22, 3, 1, 0, 9, 1, 0, 0x40, 0]), 9, /a ClientHello of 16384 bytes/],
    [Buffer.from([22, 3, 1, 0, 9, 1, 255, 255, 255]), 9, /a ClientHello of 16777215 bytes/],
  ] as const) {
    const result = read(bytes, everyByte(bytes))
    t.match(none(result.hello), detail)
    t.equal(result.at, at, `${detail}`)
  }
})

t.test('another record in the middle of the message', async t => {
  const whole = message([serverNames('a.example')])
  const [first, rest] = [records(whole.subarray(0, 20)), records(whole.subarray(20))]
  t.match(none(read(Buffer.concat([first, Buffer.from([20, 3, 3, 0, 1, 1]), rest])).hello), /type 20/)
})

t.test('up to 16 KiB, and no more', async t => {
  const bare = message([serverNames('a.example'), extension(21, Buffer.alloc(0))]).length
  const padded = (bytes: number) =>
    message([serverNames('a.example'), extension(21, Buffer.alloc(bytes - bare))])
  t.same(read(records(padded(16_384))).hello, named('a.example'))
  t.same(read(records(padded(16_384), 512)).hello, named('a.example'))
  t.match(none(read(records(padded(16_385))).hello), /ClientHello of 16381 bytes/)
  t.match(none(read(records(padded(16_384), 1)).hello), /no whole ClientHello in 32768 bytes/)
})

/** Where each length is, in the hello of one record with a session, two suites, one compression and one name. */
t.test('every length, one too small and one too large', async t => {
  const whole = message([serverNames('a.example'), extension(23, Buffer.alloc(0))])
  const lengths = [
    [4 + 34, 1, 'session'],
    [4 + 34 + 33, 2, 'suites'],
    [4 + 34 + 33 + 6, 1, 'compression'],
    [4 + 34 + 33 + 6 + 2, 2, 'extensions'],
    [4 + 34 + 33 + 6 + 2 + 4, 2, 'server_name'],
    [4 + 34 + 33 + 6 + 2 + 6, 2, 'list'],
    [4 + 34 + 33 + 6 + 2 + 9, 2, 'name'],
  ] as const
  for (const [at, width, what] of lengths)
    for (const change of [-1, 1]) {
      const wrong = Buffer.from(whole)
      wrong.writeUIntBE(wrong.readUIntBE(at, width) + change, at, width)
      t.type(none(read(records(wrong)).hello), 'string', `${what} ${change}`)
    }
  for (const [at, width, what] of lengths) {
    const wrong = Buffer.from(whole)
    wrong.writeUIntBE(2 ** (8 * width) - 1, at, width)
    t.type(none(read(records(wrong)).hello), 'string', `${what} at its largest`)
  }
  const shorter = message([serverNames('a.example')])
  shorter.writeUIntBE(shorter.length - 5, 1, 3)
  t.type(none(read(records(shorter)).hello), 'string', 'the message itself')
})

t.test('what may be there once', async t => {
  const twice = records(message([serverNames('a.example'), serverNames('b.example')]))
  t.match(none(read(twice).hello), /two server_name/)
  t.match(none(read(records(message([serverNames('a.example', 'b.example')]))).hello), /two host names/)
  t.match(none(read(records(message([extension(0, Buffer.alloc(0))]))).hello), /do not add up/)
  t.match(none(read(records(message([extension(0, vector(2))]))).hello), /a vector of 0 bytes/)
  t.match(none(read(records(message([extension(0, vector(2, Buffer.from([0, 0, 0])))]))).hello), /of 0 bytes/)
})

t.test('any byte changed to any value: an answer, or more is needed; never an error', async t => {
  const bytes = records(message([serverNames('a.example'), ...grease]), 60)
  for (let at = 0; at < bytes.length; at++)
    for (let value = 0; value < 256; value++) {
      const changed = Buffer.from(bytes)
      changed[at] = value
      const { hello } = read(changed)
      if (hello?.isTls && hello.name !== undefined && !/^[a-z0-9_.-]+$/.test(hello.name))
        t.fail(`byte ${at} is ${value}: ${hello.name}`)
    }
  t.pass('none threw')
})

t.test('random bytes, random changes of a hello, and random splits', async t => {
  const bytes = records(message([...grease, serverNames('www.example.com'), encryptedHello]), 200)
  const random = fc.property(fc.uint8Array({ maxLength: 400 }), random => {
    read(Buffer.from(random))
    read(Buffer.concat([Buffer.from([22, 3, 1, 1, 0, 1, 0, 0, 252]), Buffer.from(random)]))
  })
  t.doesNotThrow(() => fc.assert(random, { numRuns: 2000 }), 'no bytes are too much')
  const changed = fc.property(
    fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { maxLength: 4 }),
    fc.array(fc.nat(bytes.length)),
    (changes, cuts) => {
      const changed = Buffer.from(bytes)
      for (const [at, value] of changes) changed[at] = value
      return isDeepStrictEqual(read(changed, cuts).hello, read(changed).hello)
    },
  )
  t.doesNotThrow(() => fc.assert(changed, { numRuns: 500 }), 'pieces make no difference')
  const whole = message([...grease, serverNames('www.example.com'), keyShare])
  const split = fc.property(
    fc.integer({ min: 1, max: whole.length }),
    fc.array(fc.nat(3000)),
    (size, cuts) => {
      const { hello } = read(records(whole, size), cuts)
      return hello?.isTls === true && hello.name === 'www.example.com'
    },
  )
  t.doesNotThrow(() => fc.assert(split, { numRuns: 500 }), 'nor do records')
})

t.test('hellos of a real library', async t => {
  for (const [what, options, name] of [
    ['TLS 1.3', { servername: 'www.example.com', minVersion: 'TLSv1.3' }, 'www.example.com'],
    ['TLS 1.2', { servername: 'www.example.com', maxVersion: 'TLSv1.2' }, 'www.example.com'],
    ['no name', { servername: '' }, undefined],
    ['ALPN', { servername: 'Grpc.Example.com', ALPNProtocols: ['h2', 'http/1.1'] }, 'grpc.example.com'],
    [
      'post-quantum',
      { servername: 'pq.example.com', ecdhCurve: 'X25519MLKEM768:X25519', minVersion: 'TLSv1.3' },
      'pq.example.com',
    ],
  ] as const) {
    const bytes = await realHello(options as object)
    t.same(read(bytes).hello, named(name), what)
    t.same(read(bytes, everyByte(bytes)).hello, named(name), `${what}, byte by byte`)
    if (what === 'post-quantum') t.ok(bytes.length > 1200, `${bytes.length} bytes`)
  }
})
