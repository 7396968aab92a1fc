import t from 'tap'
import { freePort } from '../fixtures/free-port.ts'
import { at, eventually, forwarding, to } from '../forward/bench.ts'
import { config, echo, Party } from './bench.ts'

t.test('datagrams go to the target and back, each flow from a port of its own', async t => {
  const target = await echo(t)
  const { port, status, logged, forwarder } = await forwarding(t, [config(target.port)])
  const [one, two] = [await Party.bound(t), await Party.bound(t)]
  const answers = [await one.ask('a', port), await two.ask('b', port), await one.ask('c', port)]
  const ports = answers.map(answer => answer.split(' ')[1])
  t.equal(ports[0], ports[2])
  t.not(ports[0], ports[1])
  t.same(
    answers.map(answer => answer.split(' ')[2]),
    ['a', 'b', 'c'],
  )
  t.match(status(), {
    protocol: 'udp',
    active: 2,
    accepted: 2,
    receivedBytes: 3,
    datagrams: { received: 3, sent: 3, evicted: 0 },
  })
  t.equal(forwarder.connections().length, 2)
  await forwarder.drain(AbortSignal.abort())
  t.match(logged('flow ended'), [
    { end: 'drain', received: 2, sent: 2 },
    { end: 'drain', received: 1, sent: 1 },
  ])
})

t.test('an idle flow ends, and the next datagram begins another', async t => {
  const target = await echo(t)
  const timeouts = { udp: 100, proxyFirst: 10_000 }
  const { port, status, logged } = await forwarding(t, [config(target.port, { timeouts })])
  const client = await Party.bound(t)
  await client.ask('a', port)
  await eventually(() => status().active === 0)
  t.match(logged('flow ended'), [{ end: 'idle', receivedBytes: 1 }])
  await client.ask('b', port)
  t.match(status(), { active: 1, accepted: 2, datagrams: { received: 2, sent: 2 } })
})

t.test('at a bound the flow that has been idle longest goes', async t => {
  const target = await echo(t)
  const limits = { maxConnections: 3, maxConnectionsPerClient: 256 }
  const { port, status } = await forwarding(t, [config(target.port, { limits })])
  const clients = await Promise.all(Array.from({ length: 4 }, () => Party.bound(t)))
  const ports: string[] = []
  for (const client of clients.slice(0, 3)) {
    ports.push((await client.ask('x', port)).split(' ')[1]!)
    await new Promise(resolve => setTimeout(resolve, 120))
  }
  // The first one is used again, so the second one goes.
  t.equal((await clients[0]!.ask('x', port)).split(' ')[1], ports[0])
  await clients[3]!.ask('x', port)
  t.match(status(), { active: 3, accepted: 4, datagrams: { evicted: 1 } })
  t.equal((await clients[0]!.ask('x', port)).split(' ')[1], ports[0])
  t.equal((await clients[2]!.ask('x', port)).split(' ')[1], ports[2])
  await clients[1]!.ask('x', port)
  t.match(status(), { accepted: 5, datagrams: { evicted: 2 } })
})

t.test('a client at its own bound loses its own', async t => {
  const target = await echo(t)
  const limits = { maxConnections: 100, maxConnectionsPerClient: 2 }
  const { port, status } = await forwarding(t, [config(target.port, { limits })])
  const other = await Party.bound(t, '127.0.0.2')
  const first = await other.ask('x', port)
  for (let i = 0; i < 5; i++) await (await Party.bound(t)).ask('x', port)
  t.match(status(), { active: 3, datagrams: { evicted: 3 } })
  t.equal(await other.ask('x', port), first)
})

t.test('a target where nobody listens: the datagram goes to the next one', async t => {
  const target = await echo(t)
  const dead = await freePort()
  const upstream = to(at('127.0.0.1', dead), at('127.0.0.1', target.port))
  const { port, status } = await forwarding(t, [config(0, { upstream })])
  const client = await Party.bound(t)
  t.match(await client.ask('a', port), /^echo \d+ a$/)
  t.match(status().targets, [{ state: 'down', error: 'ECONNREFUSED' }, { state: 'up' }])
  t.match(await client.ask('b', port), /b$/)
})

t.test('a target that was away is used again', async t => {
  const away = await freePort()
  const { port, status, forwarder } = await forwarding(t, [config(away)])
  const client = await Party.bound(t)
  client.send('lost', port)
  await eventually(() => status().targets[0]!.state === 'down')
  t.equal(status().active, 1)
  t.match(forwarder.reasons(), [{ code: 'backend-down', forward: 'dns' }])
  const target = await Party.bound(t, '127.0.0.1', away)
  client.send('there', port)
  const { bytes, from } = await target.next()
  t.equal(bytes.toString(), 'there')
  target.send('back', from.port)
  t.equal((await client.next()).bytes.toString(), 'back')
  t.match(status(), { targets: [{ state: 'up' }], datagrams: { dropped: { 'target-failed': 1 } } })
})

t.test('who is denied begins no flow', async t => {
  const target = await echo(t)
  const limits = { deny: [{ address: '127.0.0.9', bits: 32, family: 4 }] as const }
  const { port, status, logged } = await forwarding(t, [config(target.port, { limits })])
  const [denied, allowed] = [await Party.bound(t, '127.0.0.9'), await Party.bound(t)]
  for (let i = 0; i < 3; i++) denied.send('x', port)
  await allowed.ask('x', port)
  await eventually(() => status().refused.denied === 3)
  t.match(status(), { active: 1, accepted: 1 })
  t.match(logged('flow refused')[0], { reason: 'denied', client: /^127\.0\.0\.9:/ })
})

t.test('a name: what comes before its address is known waits', async t => {
  const target = await echo(t)
  let answer: (addresses: string[]) => void = () => {}
  const resolve = () => new Promise<string[]>(done => (answer = done))
  const upstream = to(at('dns.example', target.port))
  const { port, status } = await forwarding(t, [config(0, { upstream })], { resolve })
  const client = await Party.bound(t)
  for (const text of ['a', 'b', 'c']) client.send(text, port)
  await eventually(() => status().active === 1)
  await new Promise(resolve => setTimeout(resolve, 50))
  answer(['127.0.0.1'])
  const texts: string[] = []
  for (let i = 0; i < 3; i++) texts.push((await client.next()).bytes.toString().split(' ')[2]!)
  t.same(texts, ['a', 'b', 'c'])
})

t.test('a range of ports, both families and empty datagrams', async t => {
  const target = await Party.bound(t, '::1')
  const first = await freePort(3)
  const listen = at('::1', first, first + 2)
  const upstream = to(at('::1', target.port - 1, target.port + 1))
  const { status } = await forwarding(t, [config(0, { listen, upstream })])
  const client = await Party.bound(t, '::1')
  client.send('', first + 1, '::1')
  const { bytes, from } = await target.next()
  t.equal(bytes.length, 0)
  target.send('', from.port, '::1')
  const reply = await client.next()
  t.equal(reply.bytes.length, 0)
  t.equal(reply.from.port, first + 1)
  t.match(status(), { datagrams: { received: 1, sent: 1 }, receivedBytes: 0 })
})

t.test('another target on reload: what comes next goes there', async t => {
  const [before, after] = [await echo(t, 'before'), await echo(t, 'after')]
  const { port, forwarder, placed, logged } = await forwarding(t, [config(before.port)])
  const client = await Party.bound(t)
  t.match(await client.ask('x', port), /^before/)
  const changed = { ...placed[0]!, upstream: to(at('127.0.0.1', after.port)) }
  const change = await forwarder.prepare({
    forwards: [changed],
    tunnelAddresses: [],
    drainTimeout: 1000,
    link: undefined,
    peers: [],
  })
  change.commit()
  await eventually(() => logged('flow ended').length === 1)
  t.match(logged('flow ended'), [{ end: 'replaced' }])
  t.match(await client.ask('x', port), /^after/)
})

t.test('TCP and UDP share a port, and a forward changes from one to the other', async t => {
  const target = await echo(t)
  const { config: tcp } = await import('../forward/bench.ts').then(({ config }) => ({ config }))
  const port = await freePort()
  const listen = at('127.0.0.1', port)
  const { forwarder } = await forwarding(t, [
    config(target.port, { listen }),
    tcp(await freePort(), { name: 'dns-tcp', listen }),
  ])
  const client = await Party.bound(t)
  await client.ask('x', port)
  const empty = { tunnelAddresses: [], drainTimeout: 10, link: undefined, peers: [] }
  const swapped = await forwarder.prepare({
    ...empty,
    forwards: [tcp(await freePort(), { name: 'dns', listen })],
  })
  swapped.commit()
  t.match(
    forwarder.status().map(({ name, protocol }) => [name, protocol]),
    [['dns', 'tcp']],
  )
  const back = await forwarder.prepare({ ...empty, forwards: [config(target.port, { listen })] })
  back.commit()
  t.match(await client.ask('y', port), /y$/)
})

t.test('a drain waits for what is in the middle of something', async t => {
  const target = await Party.bound(t)
  const { port, forwarder, status } = await forwarding(t, [config(target.port)])
  const client = await Party.bound(t)
  client.send('x', port)
  const { from } = await target.next()
  const drained = forwarder.drain(AbortSignal.timeout(10_000))
  await new Promise(resolve => setTimeout(resolve, 300))
  target.send('late', from.port)
  t.equal((await client.next()).bytes.toString(), 'late')
  const other = await Party.bound(t)
  other.send('new', port)
  await drained
  t.match(status(), { active: 0, refused: { draining: 1 } })
  t.same(target.received, [])
})

for (const host of ['', '::', '0.0.0.0'])
  t.test(`all addresses (${host}:PORT): each is answered from the address that it was sent to`, async t => {
    const target = await echo(t)
    const first = await freePort()
    const { status } = await forwarding(t, [config(target.port, { listen: at(host, first) })])
    const client = await Party.bound(t)
    client.send('x', first)
    t.match((await client.next()).from, { address: '127.0.0.1', port: first })
    if (host === '0.0.0.0') return
    const v6 = await Party.bound(t, '::1')
    v6.send('x', first, '::1')
    t.match((await v6.next()).from, { address: '::1', port: first })
    t.equal(status().active, 2)
  })

t.test('a forward that was taken out of the config is drained once more: both come to an end', async t => {
  const target = await echo(t)
  const { port, forwarder } = await forwarding(t, [config(target.port)])
  const client = await Party.bound(t)
  await client.ask('x', port)
  const none = { forwards: [], tunnelAddresses: [], drainTimeout: 60_000, link: undefined, peers: [] }
  const change = await forwarder.prepare(none)
  change.commit()
  t.equal(forwarder.active, 1)
  await forwarder.drain(AbortSignal.abort())
  // Nor is it kept among those that still have something to finish.
  await eventually(() => forwarder.reached.inUse().length === 0)
  t.equal(forwarder.active, 0)
})
