import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1 } from '../../src/proxy/proxy-header.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, dial, eventually, forwarding, open, outcome, to } from './bench.ts'

/** What ends a connection before its relay: the client is reset, one line, a counter. */

const client = { address: '203.0.113.7', port: 50_000 }
const gateway = { address: '203.0.113.1', port: 443 }

async function world(
  t: Test,
  changes: Partial<TcpForwardConfig>,
  resolve?: (host: string) => Promise<readonly string[]>,
) {
  const backend = await Backend.listen(t)
  return { backend, ...(await forwarding(t, [config(backend.port, changes)], resolve && { resolve })) }
}

async function refused(
  t: Test,
  changes: Partial<TcpForwardConfig>,
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
    t.match(status(), {
      refused: { 'target-failed': 1 },
      targets: [{ state: 'down', error: 'ECONNREFUSED' }],
    })
    t.match(forwarder.reasons(), [
      { code: 'backend-down', forward: 'web', detail: /no target takes connections/ },
    ])
    const backend = new Backend()
    await once(backend.server.listen(closed, '127.0.0.1'), 'listening')
    t.teardown(() => backend.server.close())
    const socket = await open(port)
    ;(await backend.socket()).end('back')
    t.match(await outcome(socket), { received: 'back', end: 'end' })
    t.match(status().targets, [{ state: 'up', error: undefined }])
    t.same(forwarder.reasons(), [])
    socket.destroy()
  },
)

t.test('a name without an address', async t => {
  const { port, logged, status } = await world(t, { upstream: to(at('nowhere.example', 80)) }, async () => {
    throw new Error('no address for nowhere.example')
  })
  t.match(await outcome(dial(port)), { end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'target-failed', detail: /nowhere\.example/ }])
})

t.test('no answer within the time to connect', async t => {
  const { port, logged, status } = await world(
    t,
    { upstream: to(at('slow.example', 80)), timeouts: { connect: 100, header: 1, idle: 0, halfClosed: 1 } },
    () => new Promise(() => {}),
  )
  t.match(await outcome(dial(port)), { end: 'ECONNRESET' })
  await eventually(() => status().active === 0)
  t.match(logged('connection refused'), [{ reason: 'target-failed', detail: 'no answer within 100 ms' }])
})

t.test('a client that goes while its target is dialled', async t => {
  const { port, status, logged } = await world(
    t,
    { upstream: to(at('slow.example', 80)) },
    () => new Promise(() => {}),
  )
  const socket = await open(port)
  await eventually(() => status().active === 1)
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  t.match(logged('connection ended'), [{ end: 'client-reset', detail: 'before its target was connected' }])
  t.equal(status().refused['target-failed'], 0)
})
