import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { queryObjects } from 'node:v8'
import t from 'tap'
import { Flow } from '../../src/datagram/flow.ts'
import { Outlet } from '../../src/datagram/outlet.ts'
import { encodeProxyV2 } from '../../src/proxy/proxy-header.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { config, echo, Party } from '../datagram/bench.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, eventually, forwarding, plan, to } from '../forward/bench.ts'

/** Hostile clients, targets and far ends of UDP forwards, and operators that change the config under running flows. */

const pause = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

t.test('a name that leads to the listener itself, and two forwards that lead to each other', async t => {
  const [one, two] = [await freePort(), await freePort()]
  const resolve = async () => ['127.0.0.1']
  const { status, forwarder } = await forwarding(
    t,
    [
      config(0, { name: 'self', upstream: to(at('self.example', one)), listen: at('127.0.0.1', one) }),
      config(0, { name: 'a', upstream: to(at('b.example', two + 1)), listen: at('127.0.0.1', two) }),
      config(0, { name: 'b', upstream: to(at('a.example', two)), listen: at('127.0.0.1', two + 1) }),
    ],
    { resolve },
  )
  const client = await Party.bound(t)
  client.send('round and round', one)
  client.send('round and round', two)
  await pause(200)
  const accepted = forwarder.status().map(({ accepted }) => accepted)
  t.ok(
    accepted.every(count => count <= 3),
    `flows begun: ${accepted}`,
  )
  t.ok(status().refused.loop > 0)
})

t.test('a sender whose port is 0 cannot be answered', async t => {
  const target = await echo(t)
  const { port, forwarder, status } = await forwarding(t, [config(target.port)])
  const client = await Party.bound(t)
  await client.ask('x', port)
  const { Door } = await import('../../src/datagram/door.ts')
  const door = new Door((await Party.bound(t)).socket)
  forwarder.receive(`udp 127.0.0.1 ${port}`, Buffer.from('x'), { address: '127.0.0.1', port: 0 }, door)
  await eventually(() => status().datagrams!.received === 2)
  await pause(50)
  t.match(await client.ask('y', port), /y$/)
})

t.test('a listener is closed and opened again: its flows are answered', async t => {
  const target = await echo(t)
  const other = await freePort()
  const { port, forwarder, placed } = await forwarding(t, [config(target.port)])
  const client = await Party.bound(t)
  t.match(await client.ask('x', port), /x$/)
  // The second one cannot be had, so all is as it was.
  const taken = await Party.bound(t)
  const bad = [
    { ...placed[0]!, listen: at('', port) },
    config(target.port, { name: 'taken', listen: at('127.0.0.1', taken.port) }),
  ]
  await t.rejects(forwarder.prepare(plan(bad)))
  t.match(await Promise.race([client.ask('y', port), pause(1000)]), /y$/)
  const change = await forwarder.prepare(plan([{ ...placed[0]!, listen: at('', port) }]))
  change.commit()
  t.match(await Promise.race([client.ask('z', port), pause(1000)]), /z$/)
  const moved = await forwarder.prepare(plan([{ ...placed[0]!, listen: at('127.0.0.1', other) }]))
  moved.commit()
  await eventually(() => forwarder.active === 0)
})

t.test('another form: flows of the old one end', async t => {
  const target = await echo(t)
  const { port, forwarder, placed, status, logged } = await forwarding(t, [config(target.port)])
  const client = await Party.bound(t)
  for (const change of [
    { sendProxy: 'spp' },
    { sendProxy: 'v2-every' },
    { acceptProxy: 'v2-every' },
    { acceptProxy: false },
  ] as const) {
    client.send('x', port)
    await eventually(() => status().active === 1)
    const one = config(target.port, { ...placed[0]!, ...change, protocol: 'udp' } as object)
    const { commit } = await forwarder.prepare(plan([one]))
    commit()
    if (change.acceptProxy !== 'v2-every') {
      await eventually(() => status().active === 0)
      continue
    }
    const { bytes } = encodeProxyV2(
      { address: '192.0.2.1', port: 9 },
      { address: '192.0.2.2', port: 53 },
      [],
      107,
      'udp',
    )
    client.send(bytes, port)
  }
  t.ok(
    logged('flow ended').every(line => (line as { end?: string }).end === 'replaced'),
    'replaced',
  )
})

t.test('what waits while a name is looked up is bounded for all flows together', async t => {
  const resolve = () => new Promise<string[]>(() => {})
  const upstream = to(at('slow.example', 53))
  const limits = { maxConnections: 4096 }
  const { port, status, forwarder } = await forwarding(t, [config(0, { upstream, limits })], { resolve })
  const before = process.memoryUsage.rss()
  const large = Buffer.alloc(60_000)
  const clients = await Promise.all(Array.from({ length: 400 }, () => Party.bound(t)))
  for (const client of clients) {
    client.send(large, port)
    await new Promise(resolve => setImmediate(resolve))
  }
  await eventually(() => status().active >= 390)
  await pause(50)
  t.ok(status().datagrams!.dropped.backlog > 200, `${status().datagrams!.dropped.backlog} are dropped`)
  t.comment(`${((process.memoryUsage.rss() - before) / 2 ** 20).toFixed(0)} MiB`)
  await forwarder.drain(AbortSignal.abort())
})

t.test('source ports of flows that have ended are not used again at once', async t => {
  const target = await Party.bound(t)
  const { port, status } = await forwarding(t, [config(target.port, { limits: { maxConnections: 1 } })])
  const [one, two] = [await Party.bound(t), await Party.bound(t)]
  const ports = new Map<number, number>()
  let again = 0
  for (let i = 0; i < 3000; i++) {
    ;(i % 2 === 0 ? one : two).send('x', port)
    const { from } = await target.next()
    if (ports.has(from.port)) again++
    ports.set(from.port, i)
  }
  t.equal(status().accepted, 3000)
  t.ok(again <= 3, `${again} ports were used again`)
})

t.test('answers of an end are no clients of another', async t => {
  const target = await echo(t)
  const far = config(target.port, { acceptProxy: 'v2-every' })
  const { port, status } = await forwarding(t, [far])
  const { knownAnswer, unknownAnswer } = await import('../../src/proxy/flow-mark.ts')
  const sender = await Party.bound(t)
  for (const bytes of [unknownAnswer, knownAnswer(Buffer.alloc(8, 7))]) sender.send(bytes, port)
  await eventually(() => status().datagrams!.dropped['header-invalid'] === 2)
  t.equal(status().accepted, 0)
  t.same(sender.received, [])
})

t.test('sockets are closed behind floods, reloads and a drain', async t => {
  const files = () => readdirSync('/proc/self/fd').length
  const before = files()
  const target = await echo(t)
  const limits = { maxConnections: 50, maxConnectionsPerClient: 40 }
  const { port, forwarder, placed, status } = await forwarding(t, [config(target.port, { limits })])
  const addresses = Array.from({ length: 30 }, (_, i) => `127.0.1.${1 + (i % 5)}`)
  const clients = await Promise.all(addresses.map(address => Party.bound(t, address)))
  for (let round = 0; round < 30; round++) {
    for (const client of clients) client.send('x', port)
    const sendProxy = round % 2 === 0 ? 'v2-every' : false
    const one = config(target.port, { listen: placed[0]!.listen, limits, sendProxy })
    const { commit } = await forwarder.prepare(plan([one]))
    commit()
    await pause(5)
  }
  t.ok(status().accepted > 100)
  await forwarder.drain(AbortSignal.abort())
  for (const client of clients) client.close()
  target.close()
  await eventually(() => files() <= before + 1)
  t.equal(status().active, 0)
  await pause(50)
  const left = [Flow, Outlet].map(kind => queryObjects(kind, { format: 'count' }))
  t.ok(
    left.every(count => count <= 5),
    `of flows and their ways are left: ${left}`,
  )
})

t.test(
  'a flow that is used is not evicted by a flood that comes round faster than the order is exact',
  async t => {
    const { Flows } = await import('../../src/datagram/flows.ts')
    const flows = new Flows<{ key: string; address: string; usedAt: number; movedAt: number }>()
    const add = (key: string, now: number) => flows.add({ key, address: key, usedAt: 0, movedAt: 0 }, now)
    add('used', 0)
    add('idle', 1)
    for (let now = 2; now < 90; now++) {
      add(`flood ${now}`, now)
      flows.use('used', now)
    }
    t.equal(flows.idlest(90)?.key, 'idle')
    for (let now = 90; now < 150; now++) {
      flows.use('used', now)
      const { key } = flows.idlest(now)!
      t.not(key, 'used')
      flows.delete(flows.get(key)!)
    }
  },
)

t.test('an end without room for another file refuses flows, and finds its target well again', async t => {
  const target = await echo(t)
  const upstream = to(at('127.0.0.1', target.port), at('127.0.0.1', target.port))
  const { port, status } = await forwarding(t, [config(0, { upstream })])
  const client = await Party.bound(t)
  const [, soft, hard] = /^Max open files +(\S+) +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))!
  const set = (files: string) => `prlimit --pid=${process.pid} --nofile=${files}:${hard}`
  // This process could not start what gives it files again.
  const shell = spawn('sh', ['-c', `${set('4')}; echo; read go; ${set(soft!)}`])
  await once(shell.stdout, 'data')
  client.send('x', port)
  await eventually(() => status().refused['target-failed'] === 1)
  shell.stdin.end('go\n')
  await once(shell, 'close')
  t.match(status().targets, [{ state: 'unknown' }, { state: 'unknown' }], 'nothing was learned of them')
  t.match(await client.ask('y', port), /y$/)
  t.match(status(), { active: 1, targets: [{ active: 1 }, { active: 0 }] })
})

t.test(
  'localhost is no other address of the loopback interface, and an address that goes is no failure',
  async t => {
    const os = (await import('node:os')).default
    const { syncBuiltinESMExports } = await import('node:module')
    const real = os.networkInterfaces
    const one = (address: string) => ({ ...real().lo![0]!, address, family: 'IPv4' as const })
    let looks = 0
    os.networkInterfaces = () => {
      looks++
      return { lo: ['127.0.0.1', '127.0.0.7', '198.51.100.7'].map(one) } as ReturnType<typeof real>
    }
    syncBuiltinESMExports()
    t.teardown(() => {
      os.networkInterfaces = real
      syncBuiltinESMExports()
    })
    await pause(600)
    const target = await echo(t)
    const [port, every] = [await freePort(), await freePort()]
    await forwarding(t, [
      config(target.port, { listen: at('localhost', port) }),
      config(target.port, { name: 'all', listen: at('', every) }),
      config(target.port, { name: 'all4', listen: at('0.0.0.0', every + 1) }),
    ])
    const client = await Party.bound(t)
    t.match(await client.ask('x', port), /x$/)
    client.send('y', every, '127.0.0.7')
    t.equal((await client.next()).from.address, '127.0.0.7')
    client.send('z', every + 1, '127.0.0.7')
    t.equal((await client.next()).from.address, '127.0.0.7')
    const { payloadLimit } = await import('../../src/sockets/mtu.ts')
    const before = looks
    for (let i = 0; i < 1000; i++) payloadLimit('192.0.2.99')
    t.ok(looks - before <= 3, `${looks - before} looks for an address that is gone`)
  },
)

t.test('a peer that wants all descriptors takes none of another one', async t => {
  const target = await echo(t)
  const listen = at('tunnel', await freePort())
  const peers = ['127.0.0.2', '127.0.0.3'].map(address => ({
    publicKey: address,
    allowedIps: [{ address, bits: 32, family: 4 as const }],
  }))
  // 192 are a reserve, and a quarter of the others is shared out among peers.
  const descriptors = new Descriptors(192 + 33)
  const { forwarder, status } = await forwarding(t, [config(target.port, { listen })], {
    ...{ tunnel: ['127.0.0.1'], peers, descriptors },
  })
  const good = await Party.bound(t, '127.0.0.2')
  const first = await good.ask('x', listen.first)
  for (let i = 0; i < 100; i++) {
    const bad = await Party.bound(t, '127.0.0.3')
    bad.send('x', listen.first)
  }
  await eventually(() => status().accepted + status().refused['descriptor-limit'] >= 101)
  await pause(100)
  t.ok(forwarder.connections().some(({ client }) => client.startsWith('127.0.0.2:')))
  t.equal(await good.ask('x', listen.first), first)
  t.ok(status().active < 33, `${status().active} flows`)
})
