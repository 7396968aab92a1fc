import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { dirname, resolve } from 'node:path'
import t from 'tap'
import { ask, findUrl } from '../../src/admin/client.ts'
import { adminUrl, removeRunFile, writeRunFile } from '../../src/admin/run-file.ts'

const url = (port: number) => `http://127.0.0.1:${port}`

t.test('all addresses are asked at 127.0.0.1', async t => {
  t.equal(adminUrl('', 9586), 'http://127.0.0.1:9586')
  t.equal(adminUrl('0.0.0.0', 1), 'http://127.0.0.1:1')
  t.equal(adminUrl('::', 1), 'http://127.0.0.1:1')
  t.equal(adminUrl('::1', 9586), 'http://[::1]:9586')
  t.equal(adminUrl('192.0.2.1', 9586), 'http://192.0.2.1:9586')
})

t.test('the run file is whole, readable by all, replaced in place and removed', async t => {
  const folder = t.testdir()
  const umask = process.umask(0o077)
  t.teardown(() => process.umask(umask))
  for (const port of [9586, 9587]) {
    await writeRunFile(folder, 'wg0', { url: url(port), pid: process.pid })
    t.same(readdirSync(folder), ['wg0.admin.json'])
    t.same(JSON.parse(readFileSync(`${folder}/wg0.admin.json`, 'utf8')), { url: url(port), pid: process.pid })
    t.equal(statSync(`${folder}/wg0.admin.json`).mode & 0o777, 0o644)
  }
  await removeRunFile(folder, 'wg0')
  await removeRunFile(folder, 'wg0')
  t.same(readdirSync(folder), [])
})

t.test('a run file that cannot be written is told, and leaves nothing behind', async t => {
  const folder = t.testdir({ 'wg0.admin.json': { taken: '' } })
  await t.rejects(writeRunFile(folder, 'wg0', { url: url(1), pid: 1 }), { code: 'RUN_FOLDER', fix: /--url/ })
  t.same(readdirSync(folder), ['wg0.admin.json'])
  await t.rejects(writeRunFile(`${folder}/missing`, 'wg0', { url: url(1), pid: 1 }), {
    code: 'RUN_FOLDER',
    message: /missing\/wg0\.admin\.json: ENOENT/,
  })
})

t.test('which end is asked', async t => {
  const exited = spawn(process.execPath, ['--version'])
  await once(exited, 'exit')
  const file = (port: number, pid: number | undefined) => JSON.stringify({ url: url(port), pid })
  const dead = exited.pid
  const found = (files: Record<string, string>) => findUrl(t.testdir(files))

  t.equal(await found({}), url(9586), 'none: the default')
  t.equal(await findUrl('/nonexistent'), url(9586))
  t.equal(
    await found({ 'wg0.sock': '', 'wg0.admin.json.tmp': file(2, 1) }),
    url(9586),
    'other files do not count',
  )
  t.equal(await found({ 'wg0.admin.json': file(1, dead) }), url(1), 'one is believed as it is')
  t.equal(
    await found({ 'wg0.admin.json': file(1, dead), 'wg1.admin.json': file(2, process.pid) }),
    url(2),
    'of several the one that lives',
  )
  t.equal(await found({ 'a.admin.json': file(1, dead), 'b.admin.json': file(2, dead) }), url(9586))
  await t.rejects(
    found({
      'wg0.admin.json': file(1, process.pid),
      'wg1.admin.json': file(2, 1),
      'wg2.admin.json': file(3, dead),
    }),
    {
      code: 'UNREACHABLE',
      message: 'several ends run here: wg0 at http://127.0.0.1:1, wg1 at http://127.0.0.1:2',
      fix: /--url/,
    },
  )
})

t.test('damaged and hostile run files are passed over', async t => {
  const folder = t.testdir()
  const hostile = [
    '',
    '{',
    'null',
    '[]',
    '{"url":"","pid":1}',
    '{"url":"http://x"}',
    `{"url":"${url(1)}","pid":-1}`,
  ]
  for (const [i, content] of hostile.entries()) writeFileSync(`${folder}/bad${i}.admin.json`, content)
  mkdirSync(`${folder}/folder.admin.json`)
  symlinkSync('loop.admin.json', `${folder}/loop.admin.json`)
  t.equal(await findUrl(folder), url(9586))
  await writeRunFile(folder, 'wg0', { url: url(7), pid: process.pid })
  t.equal(await findUrl(folder), url(7))
})

t.test('a process of another user counts as alive', async t => {
  const folder = t.testdir()
  await writeRunFile(folder, 'wg0', { url: url(1), pid: 1 })
  await writeRunFile(folder, 'wg1', { url: url(2), pid: 2 ** 22 + 1 })
  t.intercept(process, 'kill', {
    value: (pid: number) => {
      throw Object.assign(new Error(), { code: pid === 1 ? 'EPERM' : 'ESRCH' })
    },
  })
  t.equal(await findUrl(folder), url(1))
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  return url((server.address() as AddressInfo).port)
}

t.test('asking', async t => {
  const at = await serve((request, response) =>
    response.writeHead(503).end(`${request.url} ${request.headers.host}`),
  )
  t.same(
    await ask(at, '/readyz', 5000),
    { status: 503, body: `/readyz ${at.slice(7)}` },
    'any status is an answer',
  )
  t.match(await ask(`${at}/`, '/livez', 5000), { body: /^\/livez / })
})

t.test('no answer is UNREACHABLE, with the reason and what to do', async t => {
  const gone = createTcpServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const closed = url((gone.address() as AddressInfo).port)
  gone.close()
  await once(gone, 'close')
  await t.rejects(ask(closed, '/livez', 5000), {
    code: 'UNREACHABLE',
    message: `cannot reach ${closed}: ECONNREFUSED`,
    fix: /--url/,
  })

  const silent = await serve(() => {})
  await t.rejects(ask(silent, '/livez', 50), { message: `cannot reach ${silent}: no answer within 50 ms` })
  const stuck = await serve((_, response) => void response.write('half of an'))
  await t.rejects(ask(stuck, '/livez', 50), { message: /no answer within 50 ms/ })
  const cut = await serve((_, response) =>
    response.writeHead(200, { 'Content-Length': 9 }).write('half', () => {
      response.destroy()
    }),
  )
  await t.rejects(ask(cut, '/livez', 5000), { code: 'UNREACHABLE', message: /ECONNRESET/ })

  const noHttp = createTcpServer((socket: Socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')).listen(
    0,
    '127.0.0.1',
  )
  t.teardown(() => noHttp.close())
  await once(noHttp, 'listening')
  await t.rejects(ask(url((noHttp.address() as AddressInfo).port), '/livez', 5000), { code: 'UNREACHABLE' })

  for (const wrong of ['localhost', 'ftp://127.0.0.1', 'https://127.0.0.1', ''])
    await t.rejects(ask(wrong, '/livez', 5000), { code: 'UNREACHABLE', fix: /--url/ }, wrong)
})

t.test('it loads only node: modules and its own', async t => {
  const seen = new Set<string>()
  const visit = (file: string) => {
    if (seen.has(file)) return
    seen.add(file)
    for (const [, specifier = ''] of readFileSync(file, 'utf8').matchAll(
      /^(?:import|export) [^'"]*from '([^']+)'/gm,
    )) {
      if (specifier.startsWith('.')) visit(resolve(dirname(file), specifier))
      else t.match(specifier, /^node:/, `${specifier} in ${file}`)
    }
  }
  visit(resolve(import.meta.dirname, '../../src/admin/client.ts'))
  t.ok(seen.size > 1)
})
