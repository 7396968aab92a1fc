import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { ForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1, encodeProxyV2, parseProxyHeader, uniqueIdOf } from '../../src/forward/proxy-header.ts'
import { at, Backend, config, dial, eventually, forwarding, freePort, open, outcome } from './bench.ts'

/** A connection from accept to its relay: headers in, headers out, refusals. */

const client = { address: '203.0.113.7', port: 50_000 }
const client6 = { address: '2001:db8::7', port: 50_000 }
const gateway = { address: '203.0.113.1', port: 443 }

async function world(
  t: Test,
  changes: Partial<ForwardConfig>,
  resolve?: (host: string) => Promise<readonly string[]>,
) {
  const backend = await Backend.listen(t)
  return { backend, ...(await forwarding(t, [config(backend.port, changes)], resolve && { resolve })) }
}

for (const acceptProxy of [false, 'any', 'v1', 'v2'] as const) {
  for (const sendProxy of [false, 'v1', 'v2'] as const) {
    t.test(`accept ${acceptProxy}, send ${sendProxy}: header and first payload in one piece`, async t => {
      const { backend, port, status, logged } = await world(t, { acceptProxy, sendProxy })
      for (const source of acceptProxy === false ? [undefined] : [client, client6]) {
        const socket = await open(port)
        const own = { address: '127.0.0.1', port: socket.localPort! }
        const encoded =
          acceptProxy === false
            ? Buffer.alloc(0)
            : acceptProxy === 'v1'
              ? encodeProxyV1(source, gateway)
              : encodeProxyV2(source, gateway, [{ type: 0xe0, value: Buffer.from('kept') }]).bytes
        socket.write(Buffer.concat([encoded, Buffer.from('GET /')]))
        const target = await backend.socket()
        const [first] = (await once(target, 'data')) as [Buffer]
        if (sendProxy === false) t.equal(first.toString(), 'GET /')
        else {
          const header = parseProxyHeader(first, sendProxy)!
          t.same(header.source, source ?? own)
          t.equal(first.subarray(header.length).toString(), 'GET /')
          if (sendProxy === 'v2') {
            t.equal(uniqueIdOf(header.tlvs)?.length, 16)
            const kept = header.tlvs.find(tlv => tlv.type === 0xe0)
            t.equal(
              kept?.value.toString(),
              acceptProxy === 'any' || acceptProxy === 'v2' ? 'kept' : undefined,
            )
          }
        }
        socket.destroy()
        target.destroy()
      }
      await eventually(() => status().active === 0)
      t.equal(status().accepted, acceptProxy === false ? 1 : 2)
      t.equal(logged('connection ended').length, status().accepted)
    })
  }
}

t.test('a UNIQUE_ID that is there is kept, and logged', async t => {
  const { backend, port, logged, status } = await world(t, { acceptProxy: 'v2', sendProxy: 'v2' })
  const id = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
  const socket = await open(port)
  socket.write(encodeProxyV2(client, gateway, [{ type: 5, value: id }]).bytes)
  const target = await backend.socket()
  const [first] = (await once(target, 'data')) as [Buffer]
  t.same(uniqueIdOf(parseProxyHeader(first, 'v2')!.tlvs), id)
  socket.end()
  target.end()
  await eventually(() => status().active === 0)
  t.match(logged('connection ended'), [
    { id: id.toString('hex'), client: '203.0.113.7:50000', end: 'complete' },
  ])
})

for (const [what, header, sendProxy, out] of [
  [
    'LOCAL of v2',
    Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'),
    'v2',
    '0d0a0d0a000d0a515549540a20000000',
  ],
  [
    'LOCAL with addresses',
    Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a2011000c', 'hex'), Buffer.alloc(12, 1)]),
    'v2',
    '0d0a0d0a000d0a515549540a20000000',
  ],
  ['UNKNOWN of v1', Buffer.from('PROXY UNKNOWN\r\n'), 'v1', Buffer.from('PROXY UNKNOWN\r\n').toString('hex')],
] as const) {
  t.test(`${what} is a check: dialled, sent on bare, counted apart, logged at debug`, async t => {
    const { backend, port, status, logged, lines } = await world(t, { acceptProxy: 'any', sendProxy })
    const socket = await open(port)
    socket.end(header)
    const target = await backend.socket()
    const [first] = (await once(target, 'data')) as [Buffer]
    t.equal(first.toString('hex'), out)
    target.end()
    await eventually(() => status().active === 0)
    t.match(status(), { checks: 1, accepted: 0 })
    t.same(logged('connection ended'), [])
    t.match(
      lines.find(([, , message]) => message === 'check ended'),
      ['debug', { forward: 'web' }, String],
    )
  })
}

t.test('TLVs that no longer fit are left out, counted and logged', async t => {
  const { backend, port, status, logged } = await world(t, { acceptProxy: 'v2', sendProxy: 'v2' })
  const tlvs = [1, 2, 3].map(i => ({ type: 0xe0 + i, value: Buffer.alloc(700, i) }))
  const whole = Buffer.concat([
    encodeProxyV2(client, gateway, []).bytes,
    ...tlvs.map(({ type, value }) =>
      Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]),
    ),
  ])
  whole.writeUInt16BE(whole.length - 16, 14)
  const socket = await open(port)
  socket.write(whole)
  const target = await backend.socket()
  await once(target, 'data')
  t.equal(status().droppedTlvs, 2, 'the last of them, and the UNIQUE_ID that was to be added')
  t.equal(logged('TLVs left out of a PROXY header: too long').length, 1)
  socket.destroy()
})

t.test('a header in single bytes, and payload that waits for a slow name', async t => {
  const gate = Promise.withResolvers<void>()
  const { backend, port } = await world(
    t,
    { acceptProxy: 'any', target: at('slow.example', 1) },
    async () => {
      await gate.promise
      return ['127.0.0.1']
    },
  )
  t.teardown(() => gate.resolve())
  const socket = await open(port)
  for (const byte of encodeProxyV1(client, gateway)) {
    socket.write(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
  t.pass(`${backend.port}`)
  socket.destroy()
})

t.test('what a client sends while its target is dialled arrives whole and in order, its end too', async t => {
  const gate = Promise.withResolvers<void>()
  const backend = await Backend.listen(t)
  const { port } = await forwarding(t, [config(backend.port, { target: at('slow.example', backend.port) })], {
    resolve: async () => {
      await gate.promise
      return ['127.0.0.1']
    },
  })
  const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i & 255))
  const socket = await open(port)
  socket.end(data)
  await new Promise(resolve => setTimeout(resolve, 50))
  gate.resolve()
  const { received, end } = await outcome(await backend.socket())
  t.equal(end, 'end')
  t.ok(Buffer.from(received, 'latin1').equals(data))
})

async function refused(
  t: Test,
  changes: Partial<ForwardConfig>,
  bytes: Buffer | undefined,
  reason: string,
  detail: RegExp,
  finish = false,
) {
  const { port, status, logged, backend } = await world(t, changes)
  const socket = dial(port)
  const ended = outcome(socket)
  if (bytes !== undefined) socket.write(bytes)
  if (finish) socket.end()
  t.match(await ended, { received: '', end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.match(status().refused, { [reason]: 1 })
  t.equal(status().accepted, 0)
  t.match(logged('connection refused'), [{ forward: 'web', reason, detail }])
  t.equal(logged('connection refused').length, 1)
  t.equal(
    await new Promise(resolve => backend.server.getConnections((_, count) => resolve(count))),
    0,
    'nothing was dialled',
  )
}

t.test('a source that is not trusted is reset before a byte is read', t =>
  refused(
    t,
    { acceptProxy: 'any', trustedProxies: [{ address: '10.0.0.0', bits: 8, family: 4 }] },
    encodeProxyV1(client, gateway),
    'untrusted-source',
    /^127\.0\.0\.1 is not in trustedProxies$/,
  ),
)
t.test('bytes that are no header', t =>
  refused(t, { acceptProxy: 'any' }, Buffer.from('GET / HTTP/1.1\r\n'), 'header-invalid', /byte 0 is 0x47/),
)
t.test('a header of the other version', t =>
  refused(t, { acceptProxy: 'v2' }, encodeProxyV1(client, gateway), 'header-invalid', /requires v2/),
)
t.test('a client that sends nothing', t =>
  refused(
    t,
    { acceptProxy: 'any', timeouts: { connect: 1, header: 100, idle: 0, halfClosed: 1 } },
    undefined,
    'header-timeout',
    /no whole PROXY header within 100 ms/,
  ),
)
t.test('a client that sends half a header', t =>
  refused(
    t,
    { acceptProxy: 'any', timeouts: { connect: 1, header: 100, idle: 0, halfClosed: 1 } },
    Buffer.from('PROXY TCP4 203.'),
    'header-timeout',
    /no whole PROXY header/,
  ),
)
t.test('a client that ends inside its header', t =>
  refused(
    t,
    { acceptProxy: 'any' },
    Buffer.from('PROXY TCP4 203.'),
    'header-missing',
    /closed after 15 bytes/,
    true,
  ),
)

t.test('a client that vanishes inside its header', async t => {
  const { port, status, logged } = await world(t, { acceptProxy: 'any' })
  const socket = await open(port)
  socket.write('PROXY ')
  await eventually(() => status().active === 1)
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'header-missing' }])
})

t.test(
  'a target that refuses: the client is reset, one line, a counter, backend-down; then it comes back',
  async t => {
    const closed = await freePort()
    const { port, status, logged, forwarder } = await forwarding(t, [config(closed)])
    t.match(await outcome(dial(port)), { received: '', end: 'ECONNRESET' })
    await eventually(() => status().active === 0)
    t.match(logged('connection refused'), [
      { reason: 'target-failed', detail: `127.0.0.1:${closed}: ECONNREFUSED` },
    ])
    t.match(status(), { refused: { 'target-failed': 1 }, target: { state: 'down', error: /ECONNREFUSED/ } })
    t.match(forwarder.reasons(), [
      { code: 'backend-down', forward: 'web', detail: /does not take connections/ },
    ])
    const backend = new Backend()
    await once(backend.server.listen(closed, '127.0.0.1'), 'listening')
    t.teardown(() => backend.server.close())
    const socket = await open(port)
    ;(await backend.socket()).end('back')
    t.match(await outcome(socket), { received: 'back', end: 'end' })
    t.match(status().target, { state: 'up', error: undefined })
    t.same(forwarder.reasons(), [])
    socket.destroy()
  },
)

t.test('a name without an address', async t => {
  const { port, logged, status } = await world(t, { target: at('nowhere.example', 80) }, async () => {
    throw new Error('no address for nowhere.example')
  })
  t.match(await outcome(dial(port)), { end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'target-failed', detail: /nowhere\.example/ }])
})

t.test('no answer within the time to connect', async t => {
  const { port, logged, status } = await world(
    t,
    { target: at('slow.example', 80), timeouts: { connect: 100, header: 1, idle: 0, halfClosed: 1 } },
    () => new Promise(() => {}),
  )
  t.match(await outcome(dial(port)), { end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'target-failed', detail: 'no answer within 100 ms' }])
})

t.test('a client that goes while its target is dialled', async t => {
  const { port, status, logged } = await world(
    t,
    { target: at('slow.example', 80) },
    () => new Promise(() => {}),
  )
  const socket = await open(port)
  await eventually(() => status().active === 1)
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  t.match(logged('connection ended'), [{ end: 'client-reset', detail: 'before its target was connected' }])
  t.equal(status().refused['target-failed'], 0)
})
