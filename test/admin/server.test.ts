import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import t, { type Test } from 'tap'
import { ask } from '../../src/admin/client.ts'
import type { HealthReport } from '../../src/admin/health.ts'
import { type AdminOptions, AdminServer } from '../../src/admin/server.ts'
import { endStatus } from '../../src/admin/status.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { recordingLog } from '../fixtures/log.ts'
import { parts, secret, started } from './sample.ts'

const unready: HealthReport = {
  status: 'unready',
  reasons: [{ code: 'draining', detail: 'SIGTERM', since: '2026-01-02T03:04:05.000Z' }],
}

async function serve(t: Test, { page = 'loopback', host = '127.0.0.1', ...changes }: Changes = {}) {
  const { log, lines } = recordingLog()
  const status = endStatus(parts())
  const server = new AdminServer({
    config: { host, port: 0, page },
    health: () => status.health,
    outwaited: () => false,
    startedAt: started,
    started: () => true,
    status: () => status,
    render: () => ({ body: '<p>page</p>', policy: "default-src 'none'" }),
    log,
    ...changes,
  })
  t.teardown(() => server.close())
  await server.listen()
  return { server, lines, port: server.address().port, url: `http://127.0.0.1:${server.address().port}` }
}

type Changes = Partial<AdminOptions & { page: 'loopback' | 'all'; host: string }>

/** Sends bytes as they are and reads until the server closes. */
async function raw(port: number, request: string, host = '127.0.0.1'): Promise<string> {
  const socket = connect(port, host)
  socket.on('error', () => {})
  socket.write(request)
  return await received(socket)
}

/** What came before the end, a reset too. */
async function received(socket: Socket): Promise<string> {
  let all = ''
  socket.setEncoding('utf8').on('data', chunk => {
    all += chunk
  })
  await new Promise(resolve => socket.once('end', resolve).once('close', resolve))
  return all
}

/** Unlike events.once, whose promise an ECONNRESET rejects. */
const closing = (socket: Socket) => new Promise(resolve => socket.once('close', resolve))

const get = (path: string, host: string, method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`

const code = (response: string) => Number(/^HTTP\/1\.1 (\d{3}) /.exec(response)?.[1])

t.test('the probes', async t => {
  const state = { started: false, health: unready }
  const { url } = await serve(t, { started: () => state.started, health: () => state.health })
  const probe = async (path: string) => {
    const { status, body } = await ask(url, path, 5000)
    return [status, JSON.parse(body)]
  }
  const ready = { status: 'ready', reasons: [] }
  t.same(await probe('/livez'), [200, ready], 'alive while unready')
  t.same(await probe('/readyz'), [503, unready])
  t.same(await probe('/startupz'), [
    503,
    {
      status: 'unready',
      reasons: [
        { code: 'starting', detail: 'the first start is not complete', since: '2026-01-02T03:04:05.000Z' },
      ],
    },
  ])
  state.started = true
  t.same(await probe('/startupz'), [200, ready], 'started while unready')
  state.health = { ...unready, status: 'degraded' }
  t.same(await probe('/readyz'), [200, state.health], 'degraded is no reason to be taken out of service')
})

t.test('a probe with patience: ready, too, once an end has waited so long for a first peer', async t => {
  const { url, port } = await serve(t, { health: () => unready, outwaited: patience => patience <= 120_000 })
  const probe = (query: string) => ask(url, `/readyz${query}`, 5000)
  t.equal((await probe('?patience=121s')).status, 503)
  const { status, body } = await probe('?patience=2m')
  t.equal(status, 200)
  t.same(JSON.parse(body), unready, 'the body is as it is')
  t.equal((await probe('')).status, 503)
  t.equal((await probe('?x=2m')).status, 503)
  t.equal((await probe('?x&patience=1s')).status, 200)
  for (const patience of ['', '2', '2m2', '-1s', '999999999h', '%'])
    t.match(
      await raw(port, get(`/readyz?patience=${patience}`, 'localhost')),
      /^HTTP\/1\.1 400 .*patience: allowed: a duration such as /s,
      patience,
    )
})

t.test('metrics and status, without secrets', async t => {
  const { url, port } = await serve(t)
  const metrics = await ask(url, '/metrics?x=1', 5000)
  t.match(metrics, { status: 200, body: /^wg_punchhole_ready 1$/m })
  const status = await ask(url, '/status.json', 5000)
  t.same(JSON.parse(status.body), JSON.parse(JSON.stringify(endStatus(parts()))))
  t.notMatch(metrics.body + status.body, secret)
  t.match(await raw(port, get('/metrics', 'x')), /Content-Type: text\/plain; version=0\.0\.4/)
})

t.test('headers, and HEAD as GET without the body', async t => {
  const { port } = await serve(t)
  const whole = await raw(port, get('/status.json', 'localhost'))
  for (const header of [
    'Content-Type: application/json; charset=utf-8',
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
  ])
    t.match(whole, `${header}\r\n`)
  const head = await raw(port, get('/status.json', 'localhost', 'HEAD'))
  const withoutDate = (response: string) => response.split('\r\n\r\n')[0]!.replace(/Date: .*/, '')
  t.equal(withoutDate(head), withoutDate(whole))
  t.match(head, /\r\n\r\n$/)
})

t.test('only these paths, only read', async t => {
  const { port } = await serve(t)
  for (const path of [
    '/index.html',
    '/livez/',
    '/LIVEZ',
    '//livez',
    '/status.json/..',
    '/%6civez',
    '*',
    'http://127.0.0.1/livez',
  ])
    t.match(
      await raw(port, get(path, 'localhost')),
      /^HTTP\/1\.1 404 .*\/livez \/startupz \/readyz \/metrics/s,
      path,
    )
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH']) {
    const response = await raw(port, get('/livez', 'localhost', method))
    t.equal(code(response), 405, method)
    t.match(response, 'Allow: GET, HEAD\r\n')
  }
  const body =
    'POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nGET /livez HTTP/1.1\r\n\r\n'
  t.equal((await raw(port, body)).match(/HTTP\/1\.1/g)?.length, 1, 'a body is never read as a request')
})

t.test('DNS rebinding: client addresses only for a loopback Host', async t => {
  const { port } = await serve(t)
  const local = [
    'localhost',
    'LOCALHOST:8080',
    '127.0.0.1',
    `127.0.0.1:${port}`,
    '127.9.9.9',
    '[::1]',
    '[::1]:80',
  ]
  for (const host of local) t.equal(code(await raw(port, get('/status.json', host))), 200, host)
  for (const host of [
    'attacker.example',
    'localhost.attacker.example',
    '127.0.0.1.attacker.example',
    '127.attacker.example',
    '127.0.0.1:80@attacker.example',
    'attacker.example:127',
    '10.1.10.2:9586',
    '[::2]',
    '[::ffff:203.0.113.7]',
    '0.0.0.0',
    '',
    'localhost, attacker.example',
  ]) {
    const response = await raw(port, get('/status.json', host))
    t.equal(code(response), 403, host)
    t.match(response, /port-forward.*admin\.page: all/s)
    t.notMatch(response, '203.0.113')
  }
  t.equal(code(await raw(port, 'GET /status.json HTTP/1.0\r\n\r\n')), 403, 'HTTP/1.0 without a Host')
  t.equal(code(await raw(port, 'GET /status.json HTTP/1.1\r\n\r\n')), 400)
  const twice =
    'GET /status.json HTTP/1.1\r\nHost: attacker.example\r\nHost: localhost\r\nConnection: close\r\n\r\n'
  t.not(code(await raw(port, twice)), 200, 'two of them')
  const forwarded =
    'GET /status.json HTTP/1.1\r\nHost: x\r\nX-Forwarded-Host: localhost\r\nConnection: close\r\n\r\n'
  t.equal(code(await raw(port, forwarded)), 403)
  t.equal(code(await raw(port, get('/readyz', 'attacker.example'))), 200, 'probes come with any Host')
})

t.test('a client that is not loopback gets no client addresses, unless page is all', async t => {
  const own = foreignAddress()
  if (own === undefined) {
    t.comment('not tried: this host has no address but loopback')
    return
  }
  const { port } = await serve(t, { host: '' })
  t.equal(code(await raw(port, get('/status.json', 'localhost'), own)), 403)
  t.equal(code(await raw(port, get('/', 'localhost'), own)), 403)
  t.equal(code(await raw(port, get('/livez', own), own)), 200)
  const open = await serve(t, { host: '', page: 'all' })
  t.equal(code(await raw(open.port, get('/status.json', 'status.example.com'), own)), 200)
})

/** An address of this host that is not loopback. */
function foreignAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  return addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address
}

t.test('the page for people, with its policy; not for a foreign name', async t => {
  const { port } = await serve(t)
  const answer = await raw(port, get('/', 'localhost'))
  t.equal(code(answer), 200)
  t.match(answer, /^Content-Type: text\/html; charset=utf-8\r$/m)
  t.match(answer, /^Content-Security-Policy: default-src 'none'\r$/m)
  t.match(answer, /^X-Content-Type-Options: nosniff\r$/m)
  t.ok(answer.endsWith('<p>page</p>'))
  t.equal(code(await raw(port, get('/', 'rebound.example.com'))), 403)
})

t.test('an empty host is every address', async t => {
  const { port, server } = await serve(t, { host: '' })
  t.equal(
    code(await raw(port, get('/status.json', '127.0.0.1'))),
    200,
    'IPv4, mapped where the listener is IPv6',
  )
  t.equal(code(await raw(port, get('/status.json', 'localhost'), '127.8.7.6')), 200)
  if (server.address().address === '::')
    t.equal(code(await raw(port, get('/status.json', '[::1]'), '::1')), 200)
})

t.test('an address that is not to be had', async t => {
  const taken = createServer().listen(0, '127.0.0.1')
  t.teardown(() => taken.close())
  await once(taken, 'listening')
  const { port } = taken.address() as { port: number }
  const listen = (host: string, port: number) => {
    const server = new AdminServer({
      config: { host, port, page: 'loopback' },
      health: () => unready,
      outwaited: () => false,
      startedAt: started,
      started: () => true,
      status: () => endStatus(parts()),
      render: () => ({ body: '', policy: '' }),
      log: recordingLog().log,
    })
    t.teardown(() => server.close())
    return server.listen()
  }
  await t.rejects(listen('127.0.0.1', port), {
    code: 'LISTEN_FAILED',
    message: new RegExp(`^admin\\.listen: .*127\\.0\\.0\\.1:${port}.*EADDRINUSE`),
    fix: /port/,
  })
  await t.rejects(listen('192.0.2.1', 9586), {
    code: 'LISTEN_FAILED',
    message: /192\.0\.2\.1:9586/,
    fix: /./,
  })
})

t.test('an answer that cannot be made is a 500, and the server lives on', async t => {
  const { url, lines } = await serve(t, {
    status: () => {
      throw new Error('no status')
    },
    health: () => {
      throw new Error('no health')
    },
  })
  for (const path of ['/status.json', '/metrics', '/readyz'])
    t.match(await ask(url, path, 5000), { status: 500, body: /log says why/ })
  t.same(lines[0], ['error', { path: '/status.json', error: 'no status' }, 'admin request failed'])
  t.match(await ask(url, '/livez', 5000), { status: 200 })
})

t.test('hostile bytes end their own connection only', async t => {
  const { port, url } = await serve(t)
  t.equal(code(await raw(port, `GET /livez HTTP/1.1\r\nHost: x\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`)), 431)
  t.equal(code(await raw(port, `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`)), 431)
  t.equal(code(await raw(port, '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')), 400, 'TLS')
  t.equal(code(await raw(port, 'PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nGET /livez HTTP/1.1\r\n\r\n')), 400)
  t.equal(code(await raw(port, 'GET /livez HTTP/1.1\nHost: x\n\nGET /livez HTTP/1.1\r\n\r\n')), 400)
  t.equal(code(await raw(port, 'GET /livez HTTP/1.0\n\n')), 400, 'lines that end with LF alone, at once')
  t.equal(code(await raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n X: y\r\n\r\n')), 400, 'a folded line')
  const both = 'GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'
  t.equal((await raw(port, `${both}${get('/livez', 'x')}`)).match(/HTTP\/1\.1/g)?.length, 1)
  await raw(port, 'CONNECT 192.0.2.1:80 HTTP/1.1\r\nHost: x\r\n\r\n')
  await raw(
    port,
    'GET /livez HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n',
  )
  t.match(await ask(url, '/livez', 5000), { status: 200 })
})

t.test('of several requests on a connection the first is answered, and its body is not read', async t => {
  const { port } = await serve(t)
  const open = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`
  const response = await raw(port, open('/metrics') + open('/nothing') + get('/livez', 'x'))
  t.same(
    Array.from(response.matchAll(/^HTTP\/1\.1 (\d{3})/gm), match => Number(match[1])),
    [200],
  )
  t.match(response, /^Connection: close\r$/m)
})

t.test('clients that are silent, half-open or stop in the middle are closed', async t => {
  const { port } = await serve(t, { timeout: 100 })
  t.match(await raw(port, ''), /^(HTTP\/1\.1 408|$)/, 'nothing sent')
  t.match(await raw(port, 'GET /livez HTTP/1.1\r\nHost: '), /^(HTTP\/1\.1 408|$)/, 'half a header')
  t.equal(code(await raw(port, 'GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')), 200, 'idle after a request')
  const dripping = connect(port, '127.0.0.1').on('error', () => {})
  dripping.write('GET /livez HTTP/1.1\r\nX: ')
  const drip = setInterval(() => dripping.write('x'), 20)
  t.match(await received(dripping), /^(HTTP\/1\.1 408|$)/, 'one byte at a time')
  clearInterval(drip)
  const finished = connect({ port, host: '127.0.0.1', allowHalfOpen: true }).on('error', () => {})
  finished.end('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  t.equal(code(await received(finished)), 200, 'a client that has shut its side down')
})

t.test('idle connections never lock a probe out', async t => {
  const { port, url } = await serve(t, { maxConnections: 3 })
  const idle: Socket[] = []
  for (let i = 0; i < 5; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    await once(socket, 'connect')
    idle.push(socket)
  }
  await Promise.all(idle.slice(0, 2).map(socket => closing(socket.resume())))
  t.match(await ask(url, '/livez', 5000), { status: 200 })
  t.notOk(idle[4]?.closed, 'the oldest go first')
})

t.test('whose connections are many loses one, and of those one that was heard', async t => {
  const body = 'x'.repeat(32 << 20)
  const { port } = await serve(t, { maxConnections: 6, render: () => ({ body, policy: '' }) })
  const open = async (localAddress: string, text = '') => {
    const socket = connect({ port, host: '127.0.0.1', localAddress }).on('error', () => {})
    t.teardown(() => socket.destroy())
    await once(socket, 'connect')
    socket.write(text)
    return socket
  }
  const probe = await open('127.0.0.3')
  const silent = await open('127.0.0.2')
  const served = await open('127.0.0.2', get('/', 'localhost'))
  await once(served, 'readable')
  const more: Socket[] = []
  for (let i = 0; i < 4; i++) more.push(await open('127.0.0.2'))
  await closing(served.resume())
  t.notOk(silent.closed, 'it has not said a word yet')
  for (let i = 0; i < 2; i++) more.push(await open('127.0.0.2'))
  await Promise.all([silent, more[0]!].map(socket => closing(socket.resume())))
  probe.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  t.equal(code(await received(probe)), 200)
})

t.test('a few connections are kept room for, some more come while descriptors are free', async t => {
  const open = async (limit: number) => {
    const descriptors = new Descriptors(limit)
    const { port } = await serve(t, { maxConnections: 3, descriptors })
    const sockets: Socket[] = []
    for (let i = 0; i < 8; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => {})
      t.teardown(() => socket.destroy())
      await once(socket, 'connect')
      sockets.push(socket.resume())
    }
    return { descriptors, sockets }
  }
  const few = await open(1000)
  const closed = () => few.sockets.filter(({ closed }) => closed).length
  while (closed() < 5) await new Promise(resolve => setTimeout(resolve, 5))
  t.equal(few.descriptors.used, 0)
  const many = await open(10_000)
  t.same(
    many.sockets.map(({ closed }) => closed),
    Array(8).fill(false),
  )
  t.equal(many.descriptors.used, 5)
  for (const socket of many.sockets) socket.destroy()
  while (many.descriptors.used > 0) await new Promise(resolve => setTimeout(resolve, 5))
})

t.test('who asks while others wait for the same gets the same, and nobody an old one', async t => {
  let made = 0
  const status = () => ({ ...endStatus(parts()), logLinesDropped: ++made })
  const { url } = await serve(t, { status })
  const asked = async () => JSON.parse((await ask(url, '/status.json', 5000)).body).logLinesDropped
  await Promise.all(Array.from({ length: 20 }, () => asked()))
  t.ok(made <= 3, `${made} for 20`)
  for (let i = 0; i < 3; i++) t.equal(await asked(), made)
})

t.test('a flood of pipelined requests costs one answer, read or not', async t => {
  let scrapes = 0
  const status = () => {
    scrapes++
    return endStatus(parts())
  }
  const { port, url } = await serve(t, { status })
  const flood = 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(20_000)
  for (const reads of [true, false]) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    const closed = closing(socket)
    if (reads) socket.resume()
    else socket.pause()
    socket.write(flood)
    await once(socket, 'connect')
    t.match(await ask(url, '/livez', 5000), { status: 200 })
    if (!reads) socket.destroy()
    await closed
  }
  t.ok(scrapes <= 2, `${scrapes} scrapes`)
})

t.test('whoever asks for a large answer at the same moment gets all of it', async t => {
  const body = 'x'.repeat(32 << 20)
  const { port } = await serve(t, { render: () => ({ body, policy: '' }) })
  const lengths = Array.from({ length: 12 }, async () => {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(get('/', 'localhost'))
    await once(socket, 'readable')
    await new Promise(resolve => setTimeout(resolve, 500))
    let length = 0
    socket.on('data', chunk => (length += chunk.length))
    await closing(socket)
    return length
  })
  for (const length of await Promise.all(lengths)) t.ok(length > body.length, `${length} bytes`)
})

t.test('of clients that do not take a large answer a few are left', async t => {
  const body = 'x'.repeat(32 << 20)
  const { port, url } = await serve(t, { render: () => ({ body, policy: '' }) })
  const sockets: Socket[] = []
  for (let i = 0; i < 6; i++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(get('/', 'localhost'))
    await once(socket, 'readable')
    sockets.push(socket)
  }
  await Promise.all(sockets.slice(0, 2).map(socket => closing(socket.resume())))
  t.match(await ask(url, '/livez', 5000), { status: 200 })
  const whole = sockets.at(-1)!
  let length = whole.bytesRead
  await new Promise(resolve => whole.on('data', () => (length = whole.bytesRead)).on('end', resolve))
  t.ok(length > body.length, 'the newest get all of it')
  for (const socket of sockets) socket.destroy()
})

t.test('close ends at once, open connections included, and can be repeated', async t => {
  const { server, port } = await serve(t)
  const sockets = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
  for (const socket of sockets) socket.on('error', () => {})
  sockets[0]!.write('GET /livez HTTP/1.1\r\nHost: x\r\n\r\n')
  await Promise.all([once(sockets[0]!, 'data'), once(sockets[1]!, 'connect')])
  const closed = sockets.map(socket => closing(socket.resume()))
  await Promise.all([server.close(), ...closed])
  await server.close()
  await t.rejects(ask(`http://127.0.0.1:${port}`, '/livez', 5000), { message: /ECONNREFUSED/ })
})
