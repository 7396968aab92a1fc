import { once } from 'node:events'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1, encodeProxyV2, parseProxyHeader, uniqueIdOf } from '../../src/proxy/proxy-header.ts'
import { at, Backend, config, eventually, forwarding, open, outcome, to } from './bench.ts'

/** A connection from accept to its relay: headers in, headers out. */

const client = { address: '203.0.113.7', port: 50_000 }
const client6 = { address: '2001:db8::7', port: 50_000 }
const gateway = { address: '203.0.113.1', port: 443 }

async function world(
  t: Test,
  changes: Partial<TcpForwardConfig>,
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
  ['UNKNOWN of v1', Buffer.from('PROXY UNKNOWN\r\n'), 'v2', '0d0a0d0a000d0a515549540a20000000'],
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

/** PROXY TCP4 with the ends of the socket itself. */
const ownLine = ({ localPort, remotePort }: Socket) =>
  Buffer.from(`PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${remotePort}\r\n`)

t.test(
  'a check of v1 may tell the ends of its own connection, and is sent on as one that tells nobody',
  async t => {
    const { backend, port, status } = await world(t, { acceptProxy: 'any', sendProxy: 'v1' })
    const socket = await open(port)
    socket.end(ownLine(socket))
    const target = await backend.socket()
    const { received } = await outcome(target)
    t.equal(received, 'PROXY UNKNOWN\r\n')
    target.end()
    await eventually(() => status().active === 0)
    t.match(status(), { checks: 1, accepted: 0 })
  },
)

const unknown = Buffer.from('PROXY UNKNOWN\r\n')
const unspec = Buffer.from('0d0a0d0a000d0a515549540a21000000', 'hex')
const unix = Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a213100d8', 'hex'), Buffer.alloc(216)])

for (const [what, header] of [
  ['UNKNOWN of v1', () => unknown],
  ['the ends of its own connection in v1', ownLine],
  ['UNSPEC of v2', () => unspec],
  ['AF_UNIX of v2', () => unix],
] as const)
  t.test(`a client with ${what} is judged by the address of the sender`, async t => {
    const sender = { address: '127.0.0.1', bits: 32, family: 4 } as const
    const base = { acceptProxy: 'any', sendProxy: 'v2' } as const
    const denied = await world(t, { ...base, limits: { deny: [sender] } })
    for (const pieces of [1, 2]) {
      const socket = await open(denied.port)
      const first = header(socket)
      if (pieces === 1) socket.write(Buffer.concat([first, Buffer.from('GET /')]))
      else {
        socket.write(first)
        setTimeout(() => socket.write('GET /'), 50)
      }
      t.match(await outcome(socket), { received: '', end: 'ECONNRESET' }, `in pieces: ${pieces}`)
    }
    t.match(denied.status(), { checks: 0, accepted: 0, refused: { denied: 2 } })
    const allowed = await world(t, { ...base, limits: { allow: [sender], maxConnections: 1 } })
    const socket = await open(allowed.port)
    socket.write(Buffer.concat([header(socket), Buffer.from('GET /')]))
    const target = await allowed.backend.socket()
    const [bytes] = (await once(target, 'data')) as [Buffer]
    const told = parseProxyHeader(bytes, 'v2')!
    // What is not known is not invented: the target sees whom it would see without a header.
    t.equal(told.command, what.startsWith('the ends') ? 'PROXY' : 'LOCAL')
    t.equal(bytes.subarray(told.length).toString(), 'GET /')
    t.match(allowed.status(), { accepted: 1, checks: 0 })
    const second = await open(allowed.port)
    second.write(Buffer.concat([header(second), Buffer.from('GET /')]))
    t.match(await outcome(second), { end: 'ECONNRESET' }, 'and counted among the clients')
    t.match(allowed.status().refused, { 'connection-limit': 1 })
    socket.destroy()
  })

t.test('UNKNOWN and silence: a client, of a server that speaks first', async t => {
  const { backend, port, status } = await world(t, { acceptProxy: 'v1', sendProxy: 'v1' })
  const socket = await open(port)
  socket.write('PROXY UNKNOWN\r\n')
  const read = outcome(socket)
  const target = await backend.socket()
  target.end('220')
  t.equal((await read).received, '220')
  t.match(status(), { accepted: 1, checks: 0 })
  socket.destroy()
})

t.test('UNKNOWN and a reset: a check that was over at once, no line of a client', async t => {
  const { port, status, logged } = await world(t, { acceptProxy: 'v1', sendProxy: 'v1' })
  const socket = await open(port)
  socket.write('PROXY UNKNOWN\r\n')
  await eventually(() => status().active === 1)
  await new Promise(resolve => setTimeout(resolve, 50))
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  t.same(logged('connection ended'), [])
  t.same(logged('connection refused'), [])
})

t.test('a target that resets right behind the header is counted, and told', async t => {
  const { backend, port, status, logged } = await world(t, { acceptProxy: false, sendProxy: 'v2' })
  const socket = await open(port)
  socket.write('GET /')
  const target = await backend.socket()
  await once(target, 'data')
  const end = outcome(socket)
  target.resetAndDestroy()
  t.match(await end, { end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.equal(status().headerResets, 1)
  t.match(logged('target resets right behind the PROXY header'), [
    { forward: 'web', target: `127.0.0.1:${backend.port}`, headerBytes: 47 },
  ])

  t.comment('and in a flood, with few lines')
  const many = Array.from({ length: 40 }, async () => {
    const one = await open(port)
    const end = outcome(one)
    one.write('GET /')
    const at = await backend.socket()
    await once(at, 'data')
    at.resetAndDestroy()
    await end
  })
  await Promise.all(many)
  await eventually(() => status().headerResets === 41)
  t.equal(logged('target resets right behind the PROXY header').length, 20)
})

t.test('what is no answer to the header is not counted as one', async t => {
  const without = await world(t, { acceptProxy: false, sendProxy: false })
  const cases = [
    ['no header was sent', without, async (target: Socket) => target.resetAndDestroy()],
    [
      'a byte came before',
      undefined,
      async (target: Socket, socket: Socket) => {
        target.write('x')
        await once(socket, 'data')
        target.resetAndDestroy()
      },
    ],
    ['the target closed', undefined, async (target: Socket) => target.destroy()],
    ['the client did it', undefined, async (_: Socket, socket: Socket) => socket.resetAndDestroy()],
    [
      'it was long after',
      undefined,
      async (target: Socket) => {
        await new Promise(resolve => setTimeout(resolve, 2100))
        target.resetAndDestroy()
      },
    ],
  ] as const
  await Promise.all(
    cases.map(async ([what, given, act]) => {
      const { backend, port, status } = given ?? (await world(t, { acceptProxy: false, sendProxy: 'v2' }))
      const socket = await open(port)
      const target = await backend.socket()
      target.resume()
      await act(target, socket)
      socket.resume().end()
      await eventually(() => status().active === 0)
      t.equal(status().headerResets, 0, what)
    }),
  )
})

t.test('TLVs that no longer fit are left out, counted and logged', async t => {
  const { backend, port, status, logged } = await world(t, {
    acceptProxy: 'v2',
    sendProxy: 'v2',
    proxyHeaderLimit: 1536,
  })
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
  t.equal(status().droppedTlvs, 1, 'the last of them, and not the UNIQUE_ID that was added')
  t.equal(logged('TLVs left out of a PROXY header: too long').length, 1)
  socket.destroy()
  const others = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const one = await open(port)
      one.write(whole)
      await once(await backend.socket(), 'data')
      return one
    }),
  )
  t.equal(status().droppedTlvs, 31)
  t.equal(logged('TLVs left out of a PROXY header: too long').length, 1, 'not one for each connection')
  for (const one of others) one.destroy()
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
