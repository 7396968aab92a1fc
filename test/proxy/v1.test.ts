import fc from 'fast-check'
import t from 'tap'
import {
  encodeProxyV1,
  type HeaderReason,
  ProxyHeaderError,
  parseProxyHeader,
} from '../../src/proxy/proxy-header.ts'

const tcp4 = 'PROXY TCP4 203.0.113.7 198.51.100.20 56324 443\r\n'
const tcp6 = 'PROXY TCP6 2001:db8::7 2001:db8:1:2:3:4:5:6 56324 443\r\n'
const source = { address: '203.0.113.7', port: 56324 }
const destination = { address: '198.51.100.20', port: 443 }
const parse = (text: string) => parseProxyHeader(Buffer.from(text, 'latin1'), 'any')

/** Why the bytes are refused; `undefined` when they are not. Any other error is a failure. */
function reasonOf(bytes: Buffer | string): HeaderReason | undefined {
  try {
    parseProxyHeader(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, 'any')
    return undefined
  } catch (error) {
    if (error instanceof ProxyHeaderError) return error.reason
    throw error
  }
}

t.test('headers by hand, whole and split at every byte', async t => {
  const bare = { version: 1, tlvs: [] }
  const v6 = {
    source: { address: '2001:db8::7', port: 56324 },
    destination: { address: '2001:db8:1:2:3:4:5:6', port: 443 },
  }
  const unknown = { command: 'LOCAL', transport: undefined, source: undefined, destination: undefined }
  const full = Array(8).fill('ffff').join(':')
  for (const [text, told] of [
    [tcp4, { command: 'PROXY', transport: 'tcp', source, destination }],
    [tcp6, { command: 'PROXY', transport: 'tcp', ...v6 }],
    [
      'PROXY TCP6 2001:DB8:0:0:0:0:0:7 2001:db8:1:2:3:4:5:6 56324 443\r\n',
      { command: 'PROXY', transport: 'tcp', ...v6 },
    ],
    [
      'PROXY TCP6 ::ffff:203.0.113.7 ::ffff:c633:6414 56324 443\r\n',
      { command: 'PROXY', transport: 'tcp', source, destination },
    ],
    ['PROXY UNKNOWN\r\n', unknown],
    [`PROXY UNKNOWN ${full} ${full} 65535 65535\r\n`, unknown],
    ['PROXY UNKNOWN \0 \xff a\rb\nc\r\n', unknown],
  ] as const) {
    const bytes = Buffer.from(text, 'latin1')
    t.same(parseProxyHeader(bytes, 'v1'), { ...bare, ...told, length: bytes.length }, text)
    for (let length = 0; length < bytes.length; length++)
      t.equal(parseProxyHeader(bytes.subarray(0, length), 'any'), undefined)
    for (const payload of ['G', '\r\n', text, '\0'.repeat(5000)])
      t.same(parse(text + payload), { ...bare, ...told, length: bytes.length }, 'payload is left alone')
  }
})

t.test('the longest line has 107 bytes', async t => {
  const line = (length: number) => `PROXY UNKNOWN ${'x'.repeat(length - 16)}\r\n`
  t.equal(parse(line(107))?.length, 107)
  t.equal(reasonOf(line(108)), 'v1-too-long')
  t.equal(parse(line(108).slice(0, 105)), undefined)
  t.equal(reasonOf(line(108).slice(0, 106)), 'v1-too-long', 'no byte later than it is sure')
  t.equal(parse(line(107).slice(0, 106)), undefined, 'CR is there, LF may follow')
  t.equal(reasonOf(`${line(107).slice(0, 106)}x`), 'v1-too-long')
  const long = '0000:0000:0000:0000:0000:ffff:203.000.113.007'
  t.equal(reasonOf(`PROXY TCP6 ${long} ${long} 1 1\r\n`), 'v1-address')
  const dotted = '0000:0000:0000:0000:0000:ffff:203.100.113.107'
  t.equal(reasonOf(`PROXY TCP6 ${dotted} ${dotted} 10000 1\r\n`), 'v1-too-long')
})

t.test('UNKNOWN: every byte before CRLF is ignored', async t => {
  const line = (value: number, length: number) => `PROXY UNKNOWN ${String.fromCharCode(value).repeat(length)}`
  for (let value = 0; value < 256; value++) {
    t.match(parse(`${line(value, 91)}\r\n`), { command: 'LOCAL', source: undefined, length: 107 })
    t.equal(reasonOf(`${line(value, 95)}\r\n`), 'v1-too-long')
  }
})

t.test('what is refused, at which byte, and why', async t => {
  const cases: [refused: string, rest: string, reason: HeaderReason][] = [
    ['Q', 'ROXY', 'not-a-header'],
    ['PROXx', ' TCP4', 'not-a-header'],
    ['PROXY\t', 'TCP4', 'not-a-header'],
    ['PROXY  ', 'TCP4', 'v1-protocol'],
    ['PROXY t', 'cp4', 'v1-protocol'],
    ['PROXY TCP5', ' ', 'v1-protocol'],
    ['PROXY TCP4\r', '\n', 'v1-protocol'],
    ['PROXY UNKNOWNx', '\r\n', 'v1-protocol'],
    ['PROXY UNKNOWN\n', '', 'v1-protocol'],
    ['PROXY UNKNOWN\rx', '\r\n', 'v1-line-end'],
    ['PROXY TCP4  ', '1.2.3.4', 'v1-address'],
    ['PROXY TCP4 256', '.2.3.4 ', 'v1-address'],
    ['PROXY TCP4 1.2.3.256', ' 5.6.7.8', 'v1-address'],
    ['PROXY TCP4 1.2.3.04', ' 5.6.7.8', 'v1-address'],
    ['PROXY TCP4 1..', '', 'v1-address'],
    ['PROXY TCP4 1.2.3 ', '5.6.7.8', 'v1-address'],
    ['PROXY TCP4 1.2.3.4.', '5', 'v1-address'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8/', '', 'v1-address'],
    ['PROXY TCP4 1.2.3.4\0', ' ', 'v1-address'],
    ['PROXY TCP4 2001', ':db8::1', 'v1-address'],
    ['PROXY TCP6 203.', '0.113.7', 'v1-address'],
    ['PROXY TCP4 \xb9', '.2.3.4 ', 'v1-address'],
    ['PROXY TCP4 1.2.3.4 :', ':1 1 2', 'v1-address'],
    ['PROXY TCP6 ::1 1.', '2.3.4 1 2', 'v1-address'],
    ['PROXY TCP6 fe80::1%', 'eth0', 'v1-address'],
    ['PROXY TCP6 [', '::1]', 'v1-address'],
    ['PROXY TCP6 ::1::', '', 'v1-address'],
    ['PROXY TCP6 :::', '', 'v1-address'],
    ['PROXY TCP6 12345', '::', 'v1-address'],
    ['PROXY TCP6 1:2:3:4:5:6:7:8:', '', 'v1-address'],
    ['PROXY TCP6 1:2:3 ', '', 'v1-address'],
    ['PROXY TCP4 1.2.3.4\r', '\n', 'v1-fields'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1\r', '\n', 'v1-fields'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2 ', '\r\n', 'v1-fields'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8  ', '1 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 \r', '\n', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 \r', '\n', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 65536', ' 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 65536', '\r\n', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 00', ' 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 08', '0 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 \0', '1 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\xb2', '\r\n', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 -', '1 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 +', '1 2', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n', '', 'v1-port'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rx', '\n', 'v1-line-end'],
    ['PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r', '\n', 'v1-line-end'],
  ]
  for (const [refused, rest, reason] of cases) {
    t.equal(reasonOf(refused + rest), reason, JSON.stringify(refused + rest))
    t.equal(reasonOf(refused), reason, `${JSON.stringify(refused)} is enough`)
    if (refused.length > 1) t.equal(parse(refused.slice(0, -1)), undefined, 'one byte less is not')
  }
})

t.test('every value of every byte: refused as soon as it is there, and for the same reason', async t => {
  for (const text of [tcp4, tcp6, 'PROXY UNKNOWN x\r\n']) {
    const bytes = Buffer.from(text, 'latin1')
    for (let at = 0; at < bytes.length; at++)
      for (let value = 0; value < 256; value++) {
        const odd = Buffer.from(bytes)
        odd[at] = value
        // What comes before this byte is a beginning; it may be fit itself and make a later one unfit.
        let early: HeaderReason | undefined
        for (let length = at + 1; length <= odd.length && early === undefined; length++)
          early = reasonOf(odd.subarray(0, length))
        const whole = reasonOf(odd)
        if (early !== whole) t.fail(`byte ${at} = ${value}: ${whole} whole, else ${early}`)
      }
  }
  t.pass('swept')
})

t.test('every beginning of every address is possible', async t => {
  const texts = fc.oneof(
    fc.tuple(fc.constant(4), fc.ipV4()),
    fc.tuple(fc.constant(6), fc.ipV6()),
    fc.tuple(
      fc.constant(6),
      fc.ipV4().map(text => `::ffff:${text}`),
    ),
    fc.tuple(
      fc.constant(6),
      fc.ipV4().map(text => `1:2:3:4:5:6:${text}`),
    ),
    fc.tuple(fc.constant(6), fc.constantFrom('::', '1::', '::8', '1:2:3:4:5:6:7::', '::2:3:4:5:6:7:8')),
  )
  const isTaken = ([family, text]: [number, string]) => {
    const line = `PROXY TCP${family} ${text} ${text} 0 65535\r\n`
    for (let length = 0; length < Math.min(line.length, 100); length++) parse(line.slice(0, length))
    return line.length > 107 || parse(line)?.length === line.length
  }
  t.doesNotThrow(() => fc.assert(fc.property(texts, isTaken), { numRuns: 300 }))
})

t.test('messages say what was found, where, and what is allowed', async t => {
  const address = /"1\.2\.3\.256" at byte 11, allowed is an IPv4 address/
  t.throws(() => parse('PROXY TCP4 1.2.3.256 '), { name: 'ProxyHeaderError', message: address })
  t.throws(() => parse('PROXY TCP4 1.2.3.4 5.6.7.8 99999'), { message: /"99999" at byte 27, .*0 to 65535/ })
  t.throws(() => parse('PROXY UDP4 '), { message: /byte 7 is 0x44, .*"TCP4 ", "TCP6 " and "UNKNOWN"/ })
})

t.test('what is written', async t => {
  const write = (from: string, to: string) =>
    encodeProxyV1({ address: from, port: 1 }, { address: to, port: 65535 }).toString('latin1')
  t.equal(encodeProxyV1(source, destination).toString('latin1'), tcp4)
  t.equal(write('2001:db8::1', '2001:db8::2'), 'PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n')
  t.equal(write('::ffff:192.0.2.1', '::ffff:192.0.2.2'), 'PROXY TCP4 192.0.2.1 192.0.2.2 1 65535\r\n')
  t.equal(write('::ffff:192.0.2.1', '2001:db8::2'), 'PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 65535\r\n')
  t.equal(write('2001:db8::1', '192.0.2.2'), 'PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 65535\r\n')
  t.equal(write('fe80::1%eth0', 'fe80::2%eth0'), 'PROXY TCP6 fe80::1 fe80::2 1 65535\r\n')
  for (const [from, to] of [
    [undefined, undefined],
    [source, undefined],
    [undefined, destination],
    [{ address: '', port: 0 }, destination],
  ] as const)
    t.equal(encodeProxyV1(from, to).toString('latin1'), 'PROXY UNKNOWN\r\n')
})
