import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import { judge, reactionsOf } from '../../src/doctor/target.ts'
import { encodeProxyV2, parseProxyHeader, type Tlv } from '../../src/proxy/proxy-header.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, eventually, forwarding, links, open, outcome, to } from '../forward/bench.ts'

/** Headers that are as long as a target takes, and no longer: the real nginx, and two ends with a link between them. */

/** nginx with `listen … ssl proxy_protocol`, which has 108 bytes for a header; it answers with the client's address. */
async function nginx(t: Test): Promise<number> {
  const [folder, port] = [t.testdir(), await freePort()]
  const pair = ['-keyout', `${folder}/key.pem`, '-out', `${folder}/cert.pem`]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1']
  execFileSync('openssl', ['req', '-x509', '-subj', '/CN=x', ...kind, ...pair], { stdio: 'ignore' })
  writeFileSync(
    `${folder}/nginx.conf`,
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log info; events {}
http {
  access_log off;
  client_body_temp_path ${folder}; proxy_temp_path ${folder}; fastcgi_temp_path ${folder}; uwsgi_temp_path ${folder}; scgi_temp_path ${folder};
  ssl_certificate ${folder}/cert.pem; ssl_certificate_key ${folder}/key.pem;
  server { listen 127.0.0.1:${port} ssl proxy_protocol; location / { return 200 "$ssl_server_name $proxy_protocol_addr"; } }
}
`,
  )
  const child = spawn('nginx', [
    '-g',
    process.getuid?.() === 0 ? 'user root;' : '',
    '-c',
    `${folder}/nginx.conf`,
  ])
  t.teardown(() => child.kill())
  for (;;) {
    const reached = await new Promise(resolve => {
      const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false })
      // It wants a header, and resets what has none.
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
    })
    if (reached) break
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return port
}

/** What a client of this server name gets, or how it fails. */
async function ask(port: number, host: string, servername: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect({ port, host, servername, rejectUnauthorized: false })
    let answer = ''
    socket.on('secureConnect', () => socket.write('GET / HTTP/1.0\r\n\r\n'))
    socket.on('data', chunk => {
      answer += chunk
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''))
    socket.on('end', () => resolve(answer.split('\r\n\r\n')[1] ?? ''))
  })
}

/** A name of so many letters, below `.example`. */
const name = (length: number) => {
  const label = 'a'.repeat(length - '.example'.length)
  return `${label.slice(0, 60)}${label.length > 60 ? `.${label.slice(61)}` : ''}.example`
}

t.test('nginx with TLS: names of every length are served, told where they fit', async t => {
  const target = await nginx(t)
  const base: Partial<TcpForwardConfig> = {
    listen: at('', 0),
    sendProxy: 'v2',
    upstream: to(),
    routes: [{ name: '*.example', upstream: to(at('127.0.0.1', target)) }],
  }
  const { port, status } = await forwarding(t, [config(target, base)])
  for (const [length, host, dropped] of [
    [57, '127.0.0.1', 0],
    [58, '127.0.0.1', 1],
    [59, '127.0.0.1', 2],
    [33, '::1', 2],
    [34, '::1', 3],
    [35, '::1', 4],
    [120, '::1', 5],
  ] as const) {
    t.equal(await ask(port, host, name(length)), `${name(length)} ${host}`, `${length} letters, from ${host}`)
    t.equal(status().droppedTlvs, dropped)
  }
  t.equal(status().headerResets, 0)

  // With a greater bound it is as it was.
  const far = await forwarding(t, [config(target, { ...base, proxyHeaderLimit: 1536 })])
  t.equal(await ask(far.port, '127.0.0.1', name(57)), `${name(57)} 127.0.0.1`)
  t.equal(await ask(far.port, '127.0.0.1', name(59)), 'ECONNRESET')
  t.equal(await ask(far.port, '::1', name(35)), 'ECONNRESET')
  t.equal(far.status().headerResets, 2, 'which is counted')
  t.match(far.logged('target resets right behind the PROXY header'), [
    { serverName: name(59), headerBytes: 109 },
    { serverName: name(35), headerBytes: 109 },
  ])
  for (const [longest, verdict] of [
    [47, 'fits'],
    [108, 'fits'],
    [109, 'too-long'],
  ] as const) {
    const reactions = await reactionsOf('127.0.0.1', target, 'v2', longest)
    t.equal('error' in reactions ? reactions.error : judge(true, reactions), verdict, `${longest} bytes`)
  }
})

/** Two ends of ours with a link between them, before a target. */
async function linked(t: Test, farChanges: Partial<TcpForwardConfig> = {}) {
  const backend = await Backend.listen(t)
  const [linkPort, port] = [await freePort(), await freePort()]
  const behind = { listen: at('127.0.0.2', port), acceptProxy: 'any', sendProxy: 'v2' } as const
  const far = await forwarding(t, [config(backend.port, { ...behind, ...farChanges })], {
    tunnel: ['127.0.0.2'],
    link: links(linkPort),
  })
  const upstream = to(at('127.0.0.2', port))
  const near = await forwarding(t, [config(port, { upstream, acceptProxy: 'any', sendProxy: 'v2' })], {
    link: links(linkPort, ['127.0.0.2']),
  })
  await eventually(() => near.forwarder.links()[0]?.state === 'up')
  return { backend, near, far }
}

const ends = [
  { address: '203.0.113.7', port: 50_000 },
  { address: '203.0.113.1', port: 443 },
] as const
const tlv = (type: number, length: number): Tlv => ({ type, value: Buffer.alloc(length, type) })

for (const [limit, types] of [
  [107, [2, 5]],
  [1536, [0x20, 2, 5]],
] as const)
  t.test(`over a link all of it is told; the target of the far end gets ${limit} bytes`, async t => {
    const { backend, near, far } = await linked(t, { proxyHeaderLimit: limit })
    const { bytes } = encodeProxyV2(...ends, [tlv(0x20, 700), tlv(2, 20), tlv(5, 16)])
    const socket = await open(near.port)
    socket.write(Buffer.concat([bytes, Buffer.from('GET /')]))
    const [first] = (await once(await backend.socket(), 'data')) as [Buffer]
    const header = parseProxyHeader(first, 'v2')!
    t.ok(header.length <= limit)
    t.same(header.source, ends[0])
    t.same(
      header.tlvs.map(({ type }) => type),
      types,
    )
    t.equal(near.status().droppedTlvs, 0)
    t.equal(far.status().droppedTlvs, 3 - types.length)
    socket.destroy()
  })

t.test('over a link a client without addresses is one still, and is judged by the sender', async t => {
  const unknown = Buffer.from('PROXY UNKNOWN\r\nGET /')
  const sender = { address: '127.0.0.1', bits: 32, family: 4 } as const
  const closed = await linked(t, { limits: { deny: [sender] } })
  const refused = await open(closed.near.port)
  refused.write(unknown)
  t.match(await outcome(refused), { end: 'ECONNRESET' })
  t.match(closed.far.status(), { accepted: 0, checks: 0, refused: { denied: 1 } })

  const { backend, near, far } = await linked(t)
  const socket = await open(near.port)
  socket.write(unknown)
  const target = await backend.socket()
  const [first] = (await once(target, 'data')) as [Buffer]
  t.match(parseProxyHeader(first, 'v2'), { command: 'LOCAL', source: undefined })
  t.match(near.status(), { accepted: 1, checks: 0 })
  t.match(far.status(), { accepted: 1, checks: 0 })
  const check = await open(near.port)
  check.end('PROXY UNKNOWN\r\n')
  ;(await backend.socket()).end()
  await outcome(check)
  t.match(near.status(), { accepted: 1, checks: 1 })
  t.match(far.status(), { accepted: 1, checks: 1 }, 'and a check is one at both ends')
  socket.destroy()
})

t.test('a target that resets behind the header is told of by the end that sent it', async t => {
  const { backend, near, far } = await linked(t)
  const socket = await open(near.port)
  socket.write(Buffer.concat([encodeProxyV2(...ends, []).bytes, Buffer.from('GET /')]))
  const target = await backend.socket()
  await once(target, 'data')
  const end = outcome(socket)
  target.resetAndDestroy()
  t.match(await end, { end: 'ECONNRESET' })
  await eventually(() => far.status().headerResets === 1)
  t.equal(near.status().headerResets, 0)
})
