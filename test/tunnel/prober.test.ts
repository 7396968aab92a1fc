import t from 'tap'
import type { TunnelConfig } from '../../src/config/config.ts'
import { Peers } from '../../src/tunnel/peers.ts'
import { Prober } from '../../src/tunnel/prober.ts'
import { KeptLog } from './fake.ts'
import { keys, peer, tunnelConfig } from './lab.ts'

function probing(more: Partial<TunnelConfig> = {}, prefixes = ['10.1.10.1/32']) {
  let now = 0
  const asked: (string | number)[][] = []
  const answers = { tcp: true, small: true, large: true, shut: false }
  let config = tunnelConfig(keys(), ['10.1.10.2/24'], { peers: [peer('A', prefixes)], ...more })
  const peers = new Peers(config.peers, { log: new KeptLog(), now: () => now })
  const prober = new Prober({
    config: () => config,
    peers,
    now: () => now,
    ways: { shut: () => (answers.shut ? 'elsewhere' : undefined) },
    tcp: async ({ from, address, port, timeout }) => {
      asked.push(['tcp', from, address, port, timeout])
      return answers.tcp ? 7 : undefined
    },
    rest: async () => {},
    udp: async (_, size) => {
      asked.push(['udp', size])
      return (size > 0 ? answers.large : answers.small) ? 7 : undefined
    },
  })
  const path = [...peers][0]!.path
  const known = {
    publicKey: 'A',
    endpoint: '192.0.2.1:1',
    lastHandshake: undefined,
    keepalive: 0,
    allowedIps: [],
  }
  const sampled = (sample: { endpoint?: string; receivedBytes?: number } = {}) =>
    peers.update({
      listenPort: 1,
      fwMark: 0,
      peers: [{ ...known, receivedBytes: 0, sentBytes: 0, ...sample }],
    })
  sampled()
  return {
    sampled,
    configure: (more: Partial<TunnelConfig>) => {
      config = { ...config, ...more }
    },
    answers,
    path,
    peers,
    prober,
    /** A link's ping was sent then, and answered at once. */
    pingedAt: (second: number) => {
      now = second * 1000
      path.pinged(0)
    },
    /** What is asked at this second. */
    at: async (second: number) => {
      now = second * 1000
      prober.tick()
      for (let i = 0; i < 40; i++) await new Promise(setImmediate)
      return asked.splice(0)
    },
  }
}

type Probing = ReturnType<typeof probing>
const tunnelProbe = tunnelConfig(keys(), ['10.1.10.2/24']).probe as Exclude<TunnelConfig['probe'], false>

const tcp = ['tcp', '10.1.10.2', '10.1.10.1', 9, 1000]

/** In doubt one is given the time of a long queue. */
const late = tcp.with(4, 10_000)

t.test('every interval, small and then full-size', async t => {
  const { at, path, prober } = probing()
  t.strictSame(await at(0), [tcp, ['udp', 1420]])
  t.match(path.status(), { state: 'up', rtt: 7 })
  t.strictSame(await at(4.9), [])
  t.equal((await at(5)).length, 2)
  prober.hurry(path)
  t.equal((await at(6)).length, 2)
})

t.test('nobody is asked while a peer is about to be made again', async t => {
  const { at, answers, path, prober } = probing()
  await at(0)
  answers.tcp = answers.small = false
  t.equal((await at(5)).length, 2)
  prober.rest(path)
  t.strictSame(await at(5.9), [])
  t.equal((await at(6)).length, 4, 'for a second')
  prober.rest(path)
  prober.hurry(path)
  t.ok((await at(7)).length > 0, 'or until it is made')
})

t.test('where a ping was just answered nobody is asked, until the size is to be tried again', async t => {
  const { at, path, pingedAt, prober } = probing()
  t.strictSame(await at(0), [tcp, ['udp', 1420]])
  for (let second = 4; second < 28; second += 4) {
    pingedAt(second)
    t.strictSame(await at(second + 1), [])
  }
  pingedAt(28)
  t.strictSame(await at(29), [])
  t.strictSame(await at(30), [tcp, ['udp', 1420]])
  pingedAt(34)
  t.strictSame(await at(38), [], 'the next second is soon enough')
  t.strictSame(await at(39), [tcp, ['udp', 1420]], 'it is missing')
  pingedAt(43)
  prober.hurry(path)
  t.equal((await at(44)).length, 2)
})

t.test('a ping stands in for nothing that is in doubt, or was not asked yet', async t => {
  const inDoubt = probing()
  await inDoubt.at(0)
  inDoubt.pingedAt(4.9)
  t.strictSame(await inDoubt.at(5), [])
  inDoubt.prober.hurry(inDoubt.path)
  Object.assign(inDoubt.answers, { tcp: false, small: false })
  t.strictSame(await inDoubt.at(6), [tcp, late])
  t.strictSame(await inDoubt.at(7), [tcp, tcp, ['udp', 0], late], 'the ping was sent before')

  const blackHole = probing()
  await blackHole.at(0)
  blackHole.path.fullSize(false)
  blackHole.pingedAt(4.9)
  t.same(await blackHole.at(5), [tcp, ['udp', 1420]], 'it tells nothing of the size')

  for (const [what, change] of [
    ['another MTU', ({ configure }) => configure({ mtu: 1280 })],
    ['another interval', ({ configure }) => configure({ probe: { ...tunnelProbe, interval: 6000 } })],
    ['another endpoint', ({ sampled }) => sampled({ endpoint: '192.0.2.9:1' })],
  ] as [string, (probing: Probing) => void][]) {
    const changed = probing()
    await changed.at(0)
    changed.pingedAt(4.9)
    t.strictSame(await changed.at(5), [])
    change(changed)
    t.equal((await changed.at(6)).length, 2, what)
  }
})

t.test('while much passes a path is probed, whatever the interval', async t => {
  const { at, pingedAt, sampled } = probing({ probe: { ...tunnelProbe, interval: 20_000 } })
  await at(0)
  pingedAt(10)
  sampled({ receivedBytes: 10_000 })
  pingedAt(19)
  t.equal((await at(20)).length, 2)
  pingedAt(39)
  t.strictSame(await at(40), [], 'nothing has passed for an interval')
})

t.test('another address of a peer is asked at once, whatever pings show', async t => {
  const { at, peers, pingedAt } = probing({}, ['10.1.10.0/24'])
  await at(0)
  pingedAt(4)
  t.strictSame(await at(5), [])
  peers.connectionFrom('10.1.10.77')
  t.match(await at(6), [tcp.with(2, '10.1.10.77')])
})

t.test('what does not lead through the tunnel is not asked, and its answer is none', async t => {
  const { at, answers, path } = probing()
  answers.shut = true
  t.strictSame(await at(0), [])
  t.match(path.status(), { state: 'starting', rtt: undefined })
  answers.shut = false
  const asked = at(1)
  // In the moment in which the answer is on its way the route leads elsewhere.
  answers.shut = true
  t.strictSame(await asked, [tcp])
  t.match(path.status(), { state: 'starting', rtt: undefined, answersProbes: false })
})

t.test('in doubt every second, and with more', async t => {
  const { at, answers, path } = probing()
  await at(0)
  answers.tcp = answers.small = false
  t.strictSame(await at(5), [tcp, late])
  t.strictSame(await at(6), [tcp, tcp, ['udp', 0], late])
  t.ok(path.isUp)
  await at(7)
  t.ok(path.isDead)
  answers.small = true
  await at(8)
  t.ok(path.isUp, 'either answer will do')
})

t.test('a late answer is an answer', async t => {
  let now = 0
  const config = tunnelConfig(keys(), ['10.1.10.2/24'], { peers: [peer('A', ['10.1.10.1/32'])] })
  const peers = new Peers(config.peers, { log: new KeptLog(), now: () => now })
  const path = [...peers][0]!.path
  const waiting: PromiseWithResolvers<number>[] = []
  let isQuick = true
  const prober = new Prober({
    config: () => config,
    peers,
    now: () => now,
    ways: { shut: () => undefined },
    tcp: async ({ timeout }) => {
      if (timeout === 10_000) {
        waiting.push(Promise.withResolvers())
        return waiting.at(-1)!.promise
      }
      return isQuick ? 7 : undefined
    },
    udp: async () => undefined,
    rest: async () => {},
  })
  const known = {
    publicKey: 'A',
    endpoint: '192.0.2.1:1',
    lastHandshake: undefined,
    keepalive: 0,
    allowedIps: [],
  }
  let receivedBytes = 0
  const second = async () => {
    now += 1000
    receivedBytes += 1500
    peers.update({ listenPort: 1, fwMark: 0, peers: [{ ...known, receivedBytes, sentBytes: receivedBytes }] })
    prober.tick()
    for (let i = 0; i < 40; i++) await new Promise(setImmediate)
  }
  for (let i = 0; i < 3; i++) await second()
  t.equal(path.state.name, 'up')
  isQuick = false
  for (let i = 0; i < 120; i++) {
    await second()
    if (i % 8 === 7) waiting.at(-1)?.resolve(8000)
  }
  t.match(path.status(), { state: 'up', deaths: 0 })
  t.ok(waiting.length > 2 && waiting.length < 20, 'one at a time')
  for (let i = 0; i < 20; i++) await second()
  t.equal(path.state.name, 'one-way')
})

t.test('who never answered is asked no more often', async t => {
  const { at, answers } = probing()
  answers.tcp = false
  t.strictSame(await at(0), [tcp])
  t.strictSame(await at(1), [])
  t.strictSame(await at(5), [tcp])
})

t.test('where a connection came from is asked, and judged anew', async t => {
  const { at, answers, path, peers } = probing({}, ['10.1.10.0/24'])
  t.match(await at(0), [tcp])
  t.match(path.status(), { answersProbes: true, rtt: 7 })
  peers.connectionFrom('10.1.10.77')
  answers.tcp = answers.small = false
  const there = tcp.with(2, '10.1.10.77')
  for (const second of [5, 10, 15, 20]) t.strictSame(await at(second), [there])
  t.match(path.status(), { state: 'up', answersProbes: false, rtt: undefined }, 'it never answered')
  answers.tcp = true
  t.match(await at(25), [there])
  t.match(path.status(), { answersProbes: true, rtt: 7 })
})

t.test('a size is to blame only when it is lost every time where small ones pass', async t => {
  const { at, answers, path } = probing()
  answers.large = false
  const round = [
    ['udp', 1420],
    [...tcp.slice(0, -1), 500],
    ['udp', 0],
  ]
  t.strictSame(await at(0), [tcp, ['udp', 1420], ...round, ...round, ...round, ...round])
  t.equal(path.status().state, 'mtu-black-hole')
  answers.small = false
  t.strictSame(await at(5), [tcp, ['udp', 1420], ...round])
  t.equal(path.status().state, 'mtu-black-hole', 'nothing is known when both are lost')
  answers.large = true
  await at(10)
  t.equal(path.status().state, 'up')
})

t.test(
  'nobody is asked when it is turned off, where the address is unknown or of a family that we have not',
  async t => {
    t.strictSame(await probing({ probe: false }).at(0), [])
    t.strictSame(await probing({}, []).at(0), [])
    t.strictSame(await probing({}, ['fd00::1/128']).at(0), [])
  },
)
