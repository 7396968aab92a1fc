import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { ForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1, encodeProxyV2, parseProxyHeader, uniqueIdOf } from '../../src/forward/proxy-header.ts'
import { at, Backend, config, eventually, forwarding, open, outcome, to } from './bench.ts'

/** A connection from accept to its relay: headers in, headers out. */

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

t.test('a header in single bytes', async t => {
  const { backend, port } = await world(t, { acceptProxy: 'any', sendProxy: 'v1' })
  const socket = await open(port)
  socket.setNoDelay(true)
  for (const byte of Buffer.concat([encodeProxyV1(client, gateway), Buffer.from('GET /')])) {
    socket.write(Buffer.from([byte]))
    await new Promise(resolve => setImmediate(resolve))
  }
  socket.end()
  const { received } = await outcome(await backend.socket())
  t.equal(received, `${encodeProxyV1(client, gateway)}GET /`)
})

t.test('what a client sends while its target is dialled arrives whole and in order, its end too', async t => {
  const gate = Promise.withResolvers<void>()
  const backend = await Backend.listen(t)
  const { port } = await forwarding(
    t,
    [config(backend.port, { upstream: to(at('slow.example', backend.port)) })],
    {
      resolve: async () => {
        await gate.promise
        return ['127.0.0.1']
      },
    },
  )
  const data = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i & 255))
  const socket = await open(port)
  socket.end(data)
  await new Promise(resolve => setTimeout(resolve, 50))
  gate.resolve()
  const { received, end } = await outcome(await backend.socket())
  t.equal(end, 'end')
  t.ok(Buffer.from(received, 'latin1').equals(data))
})
