import t, { type Test } from 'tap'
import type { PeerConfig } from '../../src/config/config.ts'
import { Names } from '../../src/names/names.ts'
import { keys, peer } from './lab.ts'
import { seeded, world } from './world.ts'

const called = (host: string, number = 1): PeerConfig =>
  peer(keys().publicKey, [`10.1.10.${number}/32`], {
    endpoint: { host, port: 51820 },
    keepalive: 25,
    address: `10.1.10.${number}`,
  })

t.test(
  'a gateway whose firewall drops what comes out of its tunnel stays up, without a single rung',
  async t => {
    const { fars, pass, done, status, flips } = world([called('192.0.2.1')])
    fars[0]!.firewall = true
    await pass(600)
    t.match(status(), { state: 'up', answersProbes: false, rtt: undefined, loss: undefined, deaths: 0 })
    t.equal(flips(), 0)
    t.strictSame(done, [])
  },
)

t.test('behind such a firewall a dead path is still seen', async t => {
  const { fars, pass, until, status, done } = world([called('192.0.2.1')])
  fars[0]!.firewall = true
  await pass(60)
  fars[0]!.reachable = false
  t.ok((await until(() => status().state === 'recovering')) <= 21)
  t.equal(done[0], 'recreate 0 192.0.2.1:51820')
  fars[0]!.reachable = true
  t.ok((await until(() => status().state === 'up')) <= 6)
})

t.test('30 % loss flips nothing more than twice', async t => {
  for (let seed = 1; seed <= 100; seed++) {
    const { fars, pass, flips, states, log } = world([called('192.0.2.1')], { random: seeded(seed) })
    await pass(20)
    fars[0]!.loss = 0.3
    await pass(60)
    fars[0]!.loss = 0
    await pass(20)
    t.ok(flips() <= 2, `seed ${seed}: ${flips()}`)
    t.strictSame(states(), ['up'])
    t.notOk(log.of('path changed').some(({ fields }) => fields.to === 'mtu-black-hole'))
  }
})

t.test('a gateway that lost its sessions is called anew within 8 s', async t => {
  const { fars, pass, until, done, status } = world([called('192.0.2.1')])
  await pass(31)
  fars[0]!.reachable = false
  const noticed = await until(() => done.length > 0)
  t.ok(noticed <= 8, `${noticed}`)
  t.match(status(), { state: 'recovering', rung: 'recreate' })
  fars[0]!.reachable = true
  t.ok((await until(() => status().state === 'up')) <= 6)
})

t.test('the ladder, one rung after the other, and a name that is tried at each of its addresses', async t => {
  const resolve = async () => ['192.0.2.1', '2001:db8::1', '192.0.2.2']
  const { names, recovery, fars, pass, until, done, status, log } = world([called('gateway.example')], {
    resolve,
  })
  await new Promise<void>(done => names.follow(new AbortController().signal, done))
  await recovery.giveNewEndpoints()
  t.strictSame(done.splice(0), ['recreate 0 192.0.2.1:51820'])
  await pass(31)
  fars[0]!.at = ['192.0.2.2:51820']
  await until(() => status().rung === 'restart')
  t.strictSame(done, [
    'recreate 0 192.0.2.1:51820',
    'recreate 0 [2001:db8::1]:51820',
    'port',
    'recreate 0 [2001:db8::1]:51820',
    'restart',
  ])
  t.ok((await until(() => status().state === 'up')) <= 20)
  t.equal(done.at(-1), 'recreate 0 192.0.2.2:51820')
  t.match(status(), { rungs: { recreate: 2, resolve: 2, port: 1, restart: 1 } })
  t.equal(log.of('endpoint changed to another address').length, 2)
})

t.test('a name that answers another address is followed at the first rung', async t => {
  let answer = ['192.0.2.1']
  const { names, recovery, fars, pass, until, done, status } = world([called('gateway.example')], {
    resolve: async () => answer,
  })
  await new Promise<void>(done => names.follow(new AbortController().signal, done))
  await recovery.giveNewEndpoints()
  await pass(31)
  answer = ['192.0.2.9']
  await pass(30)
  t.equal(done.length, 1, 'while the old one works nothing is asked')
  fars[0]!.at = ['192.0.2.9:51820']
  t.ok((await until(() => done.length > 1)) <= 8)
  t.ok((await until(() => status().state === 'up')) <= 2)
  t.equal(done.at(-1), 'recreate 0 192.0.2.9:51820')
})

t.test('two hours without DNS are no storm', async t => {
  t.test('a name that never resolved: nobody is called, nothing is restarted', async t => {
    const { names, pass, done, reasons } = world([called('gateway.example')])
    const stop = new AbortController()
    t.teardown(() => stop.abort())
    names.follow(stop.signal, () => t.fail('resolved'))
    await pass(7200)
    t.strictSame(done, [])
    t.strictSame(reasons(), ['no-handshake'])
    t.match(names.reasons(), [{ code: 'endpoint-unresolved', detail: /SERVFAIL/ }])
  })
  /** Two hours with neither DNS nor a path, for a name that resolved before. */
  const twoHours = async (t: Test) => {
    const dns = { answer: ['192.0.2.1'] as readonly string[] | undefined }
    // As the program resolves: it goes on giving the last good answer.
    const answers = new Names({
      query: async () => ({
        addresses: dns.answer ?? (await Promise.reject(new Error('SERVFAIL'))),
        ttl: 60_000,
      }),
    })
    const made = world([called('gateway.example')], {
      resolve: (host, options) => answers.resolve(host, options),
    })
    const { names, recovery, fars, pass, done, status } = made
    await new Promise<void>(done => names.follow(new AbortController().signal, done))
    await recovery.giveNewEndpoints()
    await pass(60)
    dns.answer = undefined
    await pass(60)
    t.equal(done.length, 1, 'without DNS a path that works is left alone')
    fars[0]!.reachable = false
    await pass(7200)
    const { recreate, resolve, port, restart } = status().rungs
    t.equal(restart, 0)
    t.notOk(done.includes('restart'))
    t.ok(recreate >= 7200 / 100 && recreate <= 7200 / 45, `${recreate} rounds`)
    t.ok(recreate - resolve <= 1 && resolve - port <= 1, 'each round has the other rungs')
    t.equal(done.filter(what => what === 'recreate 0 192.0.2.1:51820').length, 1 + recreate + resolve + port)
    t.strictSame(names.reasons(), [])
    return { ...made, dns }
  }
  /** Seconds: a whole ladder, the longest wait after it, and the first rung of the next. */
  const round = 30 + 60 + 2
  t.test('the endpoint answers where it was, DNS or not', async t => {
    const { fars, until, status } = await twoHours(t)
    fars[0]!.reachable = true
    t.ok((await until(() => status().state === 'up')) <= 6)
  })
  for (const there of ['192.0.2.1', '192.0.2.9'])
    t.test(`DNS is back with ${there}: up within a round`, async t => {
      const { dns, fars, until, status, done } = await twoHours(t)
      dns.answer = [there]
      Object.assign(fars[0]!, { reachable: true, at: [`${there}:51820`] })
      const took = await until(() => status().state === 'up')
      t.ok(took <= round, `${took} s`)
      t.equal(done.at(-1), `recreate 0 ${there}:51820`)
      t.equal(status().rungs.restart, 0)
    })
  t.test('DNS is back and the path is not: wireguard-go is restarted again', async t => {
    const { dns, until, done } = await twoHours(t)
    dns.answer = ['192.0.2.1']
    t.ok((await until(() => done.includes('restart'))) <= 2 * round)
  })
})

t.test(
  'a dead peer with a literal endpoint is restarted for, whatever becomes of the names of others',
  async t => {
    let fails = false
    const { names, recovery, fars, pass, status } = world(
      [called('gateway.example'), called('192.0.2.2', 3)],
      {
        resolve: async () => (fails ? Promise.reject(new Error('SERVFAIL')) : ['192.0.2.1']),
      },
    )
    await new Promise<void>(done => names.follow(new AbortController().signal, done))
    await recovery.giveNewEndpoints()
    await pass(31)
    fails = true
    for (const far of fars) far.reachable = false
    await pass(39)
    t.equal(status(0).rungs.restart, 0)
    t.equal(status(1).rungs.restart, 1)
  },
)

t.test('a healthy peer is not disturbed, and the device is not touched', async t => {
  const { fars, pass, done, states } = world([called('192.0.2.1'), called('192.0.2.2', 3)])
  await pass(31)
  fars[1]!.reachable = false
  await pass(300)
  t.strictSame(states(), ['up', 'recovering'])
  t.ok(done.length > 4)
  t.ok(done.every(what => what === 'recreate 1 192.0.2.2:51820'))
})

t.test('two dead peers share the rungs on the device; a port of the config stays', async t => {
  const peers = [called('192.0.2.1'), called('192.0.2.2', 3)]
  const { fars, pass, done } = world(peers)
  await pass(31)
  for (const far of fars) far.reachable = false
  await pass(39)
  t.equal(done.filter(what => what === 'port').length, 1)
  t.equal(done.filter(what => what === 'restart').length, 1)

  const fixed = world(peers, { config: { listenPort: 51820 } })
  await fixed.pass(31)
  for (const far of fixed.fars) far.reachable = false
  await fixed.pass(39)
  t.notOk(fixed.done.includes('port'))
  t.ok(fixed.done.includes('restart'))
})

t.test('a peer that comes by itself is judged, and left alone', async t => {
  const { fars, pass, done, states, reasons } = world([
    { ...called('192.0.2.1'), endpoint: undefined },
    called('192.0.2.2', 3),
  ])
  await pass(31)
  t.strictSame(states(), ['starting', 'up'])
  t.strictSame(reasons(), ['no-handshake'])
  fars[1]!.reachable = false
  await pass(10)
  t.strictSame(reasons(), ['no-handshake', 'path-dead'])
  t.ok(done.every(what => what.startsWith('recreate 1')))
})

t.test('full-size packets that are lost', async t => {
  const { fars, pass, until, status } = world([called('192.0.2.1')])
  await pass(31)
  fars[0]!.largest = 1300
  t.ok((await until(() => status().state === 'mtu-black-hole')) <= 10)
  fars[0]!.largest = 1420
  t.ok((await until(() => status().state === 'up')) <= 6)
})

t.test('a step that fails is told, and the next one is taken all the same', async t => {
  const { fars, pass, done, log, broken } = world([called('192.0.2.1')])
  await pass(31)
  fars[0]!.reachable = false
  broken.uapi = true
  await pass(39)
  t.strictSame(
    log.of('recovery step failed').map(({ fields }) => [fields.rung, fields.error]),
    ['recreate', 'resolve', 'port'].map(rung => [rung, 'no answer']),
  )
  t.strictSame(done, ['restart'])
})

t.test('one direction lost', async t => {
  const alone = (): PeerConfig => ({ ...called('192.0.2.1'), endpoint: undefined })
  t.test('what is sent is lost, what the peer sends arrives: one-way, and the ladder is taken', async t => {
    const { fars, pass, until, status, reasons, done, askedNow } = world([called('192.0.2.1')])
    await pass(31)
    Object.assign(fars[0]!, { lost: 'to', talks: true })
    const took = await until(() => status().state === 'one-way')
    t.ok(took <= 16, `${took} s`)
    t.strictSame(reasons(), ['one-way'])
    await pass(1)
    t.ok(askedNow(), 'every second')
    await until(() => status().rung === 'port')
    t.notOk(askedNow(), 'but not together with a step, whose handshake would come second')
    t.match(status(), { state: 'one-way', deaths: 1 })
    t.ok(done.includes('port'), 'another local port may help')
    await pass(600)
    t.match(status(), { state: 'one-way', deaths: 1 }, 'for as long as it lasts')
    fars[0]!.lost = undefined
    t.ok((await until(() => status().state === 'up')) <= 6)
    t.match(status(), { deaths: 1 })
  })
  t.test('what the peer sends is lost: dead', async t => {
    const { fars, pass, until, states, status } = world([called('192.0.2.1')])
    await pass(31)
    Object.assign(fars[0]!, { lost: 'from', talks: true })
    t.ok((await until(() => status().state === 'recovering')) <= 8)
    await pass(600)
    t.match([states(), status().deaths], [['recovering'], 1])
  })
  t.test('a peer that answers no probes', async t => {
    const { fars, pass, until, status, flips } = world([called('192.0.2.1')])
    Object.assign(fars[0]!, { firewall: true, talks: true })
    await pass(600)
    t.equal(flips(), 0)
    fars[0]!.lost = 'to'
    t.ok((await until(() => status().state === 'one-way')) <= 195)
    fars[0]!.lost = undefined
    t.ok((await until(() => status().state === 'up')) <= 100)
  })
  t.test(
    'a peer that comes by itself is asked where it was last seen, and the device is left alone',
    async t => {
      const { fars, wires, pass, until, status, done } = world([alone()])
      wires[0]!.endpoint = '192.0.2.1:51820'
      await pass(31)
      t.equal(status().state, 'up')
      Object.assign(fars[0]!, { lost: 'to', talks: true })
      t.ok((await until(() => status().state === 'one-way')) <= 16)
      await pass(120)
      t.ok(done.length > 1)
      t.ok(done.every(what => what === 'recreate 0 192.0.2.1:51820'))
      t.match(status().rungs, { resolve: 0, port: 0, restart: 0 })
      fars[0]!.lost = undefined
      t.ok((await until(() => status().state === 'up')) <= 6)
    },
  )
})
