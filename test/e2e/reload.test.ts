import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'

/** A running end takes a changed config. Forwards only: one host, its targets on loopback. */
const lab = await Lab.create(`r${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('host')

/** Three targets that say who they are and then echo. */
await host.run(async () => {
  const { createServer } = await import('node:net')
  for (const port of [7001, 7002, 7003])
    await new Promise<void>(resolve => {
      createServer({ allowHalfOpen: true }, socket => {
        socket.write(`${port}\n`)
        socket.pipe(socket)
      }).listen(port, '127.0.0.1', resolve)
    })
})

// As a ConfigMap volume: config.yaml leads through the link ..data, which is swapped.
const folder = join(lab.folder, 'etc')
let version = 0
async function write(config: string): Promise<void> {
  const data = `..v${++version}`
  await mkdir(join(folder, data), { recursive: true })
  await writeFile(join(folder, data, 'config.yaml'), `${config}\nadmin: { listen: ":9586" }\n`)
  await symlink(data, join(folder, '..tmp'))
  await rename(join(folder, '..tmp'), join(folder, '..data'))
}
const forward = (name: string, listen: string, target: number) =>
  `  ${name}: { listen: "${listen}", target: "127.0.0.1:${target}", sendProxy: false }`
await write(['forwards:', forward('a', ':8001', 7001), forward('b', ':8002', 7002)].join('\n'))
await symlink('..data/config.yaml', join(folder, 'config.yaml'))
const end = startEnd(host, folder)
await end.logged(line => line.msg === 'running')

/** Writes a config, and waits for what the end says of it. */
async function change(...forwards: string[]): Promise<Record<string, unknown>> {
  const from = end.log.length
  await write(['forwards:', ...forwards].join('\n'))
  return end.logged(
    line => line.msg === 'config reloaded' || line.msg === 'config refused, the old one goes on',
    { from },
  )
}

/** The first line that a connection to this port gets, or why it gets none. */
const greeting = (port: number) =>
  host.run(async (port, { openSocket }) => {
    const socket = await openSocket({ host: '127.0.0.1', port }).catch(
      (error: NodeJS.ErrnoException) => error.code!,
    )
    if (typeof socket === 'string') return socket
    for await (const chunk of socket) return chunk.toString().trim()
    return 'nothing'
  }, port)
const admin = async (path: string) =>
  JSON.parse(await host.exec('curl', '--silent', `http://127.0.0.1:9586${path}`))

/** What the agent keeps of the connection to :8001 that lives through all of this. */
interface Kept {
  socket: import('node:net').Socket
  text: string
}
await host.run(async (_: undefined, { openSocket }) => {
  const kept: Kept = { socket: await openSocket({ host: '127.0.0.1', port: 8001 }), text: '' }
  Object.assign(globalThis, { kept })
  kept.socket.on('data', chunk => {
    kept.text += chunk
  })
  kept.socket.on('error', error => {
    kept.text = error.message
  })
}, undefined)

t.test('a forward more, one less, one to another target, one at another port', async t => {
  t.match(
    await change(forward('a', ':8001', 7003), forward('c', ':8003', 7002), forward('d', ':8004', 7001)),
    {
      msg: 'config reloaded',
    },
  )
  t.same(await Promise.all([8001, 8002, 8003, 8004].map(greeting)), ['7003', 'ECONNREFUSED', '7002', '7001'])
  t.match(await change(forward('a', ':8001', 7001), forward('c', ':8005', 7002)), { msg: 'config reloaded' })
  t.same(await Promise.all([8001, 8003, 8004, 8005].map(greeting)), [
    '7001',
    'ECONNREFUSED',
    'ECONNREFUSED',
    '7002',
  ])
})

t.test('a listener that changes hands, and one that makes room for another address of its port', async t => {
  t.match(await change(forward('c', ':8001', 7002), forward('a', ':8005', 7001)), { msg: 'config reloaded' })
  t.same(await Promise.all([8001, 8005].map(greeting)), ['7002', '7001'])
  t.match(await change(forward('a', '127.0.0.1:8001', 7001)), { msg: 'config reloaded' })
  t.equal(await greeting(8001), '7001')
  t.match(await change(forward('a', ':8001', 7001)), { msg: 'config reloaded' })
  t.equal(await greeting(8001), '7001')
})

t.test('a bad config is refused whole: log, health, status, metric; the old one goes on', async t => {
  const line = await change(forward('a', ':8009', 7001), '  b: { listen: nowhere, target: 1 }')
  t.match(line, { msg: 'config refused, the old one goes on', level: 'error' })
  t.match(line.errors, [/config\.yaml:3:\d+: error: forwards\.b\.listen/, String])
  t.same(await Promise.all([8001, 8009].map(greeting)), ['7001', 'ECONNREFUSED'])
  t.match(await admin('/readyz'), {
    status: 'degraded',
    reasons: [{ code: 'config-rejected', detail: /forwards\.b\.listen/ }],
  })
  t.match((await admin('/status.json')).config, { rejections: 1, rejected: { errors: [/listen/, String] } })
  t.match(
    await host.exec('curl', '--silent', 'http://127.0.0.1:9586/metrics'),
    /^wg_punchhole_config_rejected 1$/m,
  )
})

t.test('one address that cannot be had refuses the whole', async t => {
  const line = await change(
    forward('a', ':8001', 7002),
    forward('new', ':8010', 7001),
    forward('taken', ':7001', 7002),
  )
  t.match(line.errors, [/cannot listen on .*7001: the port is in use/])
  t.same(await Promise.all([8001, 8010].map(greeting)), ['7001', 'ECONNREFUSED'])
})

t.test('a good one ends the refusal; SIGHUP reloads too', async t => {
  t.match(await change(forward('a', ':8001', 7003)), { msg: 'config reloaded' })
  t.match(await admin('/readyz'), { status: 'ready', reasons: [] })
  const from = end.log.length
  process.kill(end.pid, 'SIGHUP')
  await end.logged(line => line.msg === 'config reloaded', { from })
  t.equal(await greeting(8001), '7003')
})

t.test('a key that needs a restart is named, the rest is applied', async t => {
  const from = end.log.length
  await write(`${['forwards:', forward('a', ':8001', 7001)].join('\n')}\nlog: { level: debug }`)
  await end.logged(line => line.msg === 'config reloaded', { from })
  await mkdir(join(folder, '..last'))
  await writeFile(
    join(folder, '..last', 'config.yaml'),
    `forwards:\n${forward('a', ':8001', 7001)}\nadmin: { listen: ":9587" }\n`,
  )
  await symlink('..last', join(folder, '..tmp'))
  await rename(join(folder, '..tmp'), join(folder, '..data'))
  t.match(await end.logged(line => line.msg === 'these keys changed too, and need a restart'), {
    keys: ['admin.listen'],
  })
  t.match(await admin('/readyz'), { status: 'ready' })
})

t.test('the connection from before still runs, on its first target', async t => {
  const text = await host.run(async () => {
    const { kept } = globalThis as unknown as { kept: Kept }
    const echoed = new Promise(resolve => kept.socket.on('data', resolve))
    kept.socket.write('still here\n')
    await echoed
    return kept.text
  })
  t.equal(text, '7001\nstill here\n')
})
