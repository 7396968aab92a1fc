import t from 'tap'
import { parseCidr } from '../../src/address.ts'
import { Peers } from '../../src/tunnel/peers.ts'
import type { DevicePeer } from '../../src/tunnel/uapi-codec.ts'
import { KeptLog } from './fake.ts'
import { peer } from './lab.ts'

const start = 1_700_000_000_000
const config = peer('ABCDEFGHIJK', ['10.1.10.2/24'], { endpoint: { host: 'gw', port: 1 }, keepalive: 25 })

/** One peer, a clock, and samples of it. */
function follow() {
  let now = start
  const log = new KeptLog()
  const peers = new Peers([config], { log, now: () => now, momentOf: time => time })
  return {
    peers,
    log,
    at: (seconds: number) => {
      now = start + seconds * 1000
    },
    sample: (sample: Partial<DevicePeer>) =>
      peers.update({
        listenPort: 1,
        fwMark: 0,
        peers: [
          {
            publicKey: 'ABCDEFGHIJK',
            endpoint: '192.0.2.1:1',
            lastHandshake: undefined,
            receivedBytes: 0,
            sentBytes: 0,
            keepalive: 25,
            allowedIps: [],
            ...sample,
          },
        ],
      }),
    codes: () => peers.reasons().map(({ code }) => code),
  }
}

t.test('no handshake until there is one', async t => {
  const { peers, log, sample, codes } = follow()
  peers.restart()
  t.match(peers.reasons(), [
    { code: 'no-handshake', detail: /ABCDEFGH, whose endpoint/, peer: 'ABCDEFGHIJK' },
  ])
  t.equal(peers.hasSession('ABCDEFGHIJK'), false)
  sample({})
  t.match(peers.reasons(), [{ detail: /at 192\.0\.2\.1:1/ }])
  sample({ lastHandshake: start, endpoint: '192.0.2.1:2' })
  sample({ lastHandshake: start, endpoint: '192.0.2.1:2' })
  t.strictSame(codes(), [])
  t.equal(peers.hasSession('ABCDEFGHIJK'), true)
  t.equal(peers.hasSession('another'), false)
  t.equal(log.of('handshake').length, 1)
  t.match(log.of('endpoint changed'), [
    { level: 'debug', fields: { peer: 'ABCDEFGH', endpoint: '192.0.2.1:2' } },
  ])
  t.strictSame(peers.status(), [
    {
      publicKey: 'ABCDEFGHIJK',
      allowedIps: ['10.1.10.0/24'],
      routes: ['10.1.10.0/24'],
      configuredEndpoint: 'gw:1',
      endpoint: '192.0.2.1:2',
      lastHandshake: start,
      receivedBytes: 0,
      sentBytes: 0,
      keepalive: 25,
      path: {
        state: 'up',
        since: start,
        lastAnswer: start,
        answersProbes: false,
        rtt: undefined,
        loss: undefined,
        rung: undefined,
        deaths: 0,
        rungs: { recreate: 0, resolve: 0, port: 0, restart: 0 },
      },
    },
  ])
  peers.update({ listenPort: 1, fwMark: 0, peers: [] })
  t.strictSame(codes(), [], 'a sample without the peer changes nothing')
})

t.test('what is dead is stale once the handshake is older than 195 s', async t => {
  const { at, peers, sample, codes } = follow()
  const lastHandshake = start
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 100 })
  at(180)
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 248 })
  at(194)
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 396 })
  t.strictSame(codes(), [])
  at(195)
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 544 })
  t.match(peers.reasons(), [{ code: 'path-dead', detail: /195 s old/, peer: 'ABCDEFGHIJK' }])
  at(195.001)
  t.strictSame(codes(), ['handshake-stale'])
  sample({ lastHandshake, receivedBytes: 101, sentBytes: 544 })
  t.strictSame(codes(), ['handshake-stale'], 'what arrives is no answer')
  at(205.001)
  sample({ lastHandshake, receivedBytes: 249, sentBytes: 544 })
  t.match(peers.reasons(), [
    {
      code: 'one-way',
      detail:
        /^what peer ABCDEFGH at 192\.0\.2\.1:1 sends arrives, what is sent to it goes unanswered; its last answer is 205 s old$/,
      peer: 'ABCDEFGHIJK',
    },
  ])
  sample({ lastHandshake: start + 205_000, receivedBytes: 341, sentBytes: 544 })
  t.strictSame(codes(), [], 'it answers')
})

t.test('what begins handshakes and never completes one is one-way from the start', async t => {
  const { at, peers, sample } = follow()
  for (const second of [0, 5, 10]) {
    at(second)
    sample({ receivedBytes: 148 * (second + 1), sentBytes: 92 * (second + 1) })
  }
  t.match(peers.reasons(), [{ code: 'one-way', detail: /it has never answered$/ }])
})

t.test('a peer to which no route leads back is a reason of its own', async t => {
  const far = peer('FAR', ['0.0.0.0/0', '::/0'], { trusted: [], mayBeRouted: false })
  const none = peer('NONE', [], { mayBeRouted: false })
  const peers = new Peers([far, none], { log: new KeptLog(), now: () => start })
  t.match(
    peers.reasons().filter(({ code }) => code === 'no-route-back'),
    [
      { peer: 'FAR', detail: /0\.0\.0\.0\/0, ::\/0.*tunnel\.probe\.addresses: \{"FAR": IP\}/ },
      { peer: 'NONE', detail: /AllowedIPs are missing/ },
    ],
  )
})

t.test('links and connections tell of the peer that has the address', async t => {
  let now = start
  const peers = new Peers(
    [peer('A', ['10.1.10.1/32'], { address: '10.1.10.1' }), peer('B', ['10.1.0.0/16'])],
    { log: new KeptLog(), now: () => now, own: () => [parseCidr('10.1.10.2/24')!] },
  )
  const states = () => peers.status().map(({ path }) => path.state)
  peers.answered('10.1.10.1', 7)
  t.strictSame(states(), ['up', 'starting'])
  peers.connectionFrom('::ffff:10.1.10.2')
  t.strictSame(states(), ['up', 'starting'], 'our own')
  peers.connectionFrom('::ffff:10.1.3.7')
  t.strictSame(states(), ['up', 'up'])
  now += 60_000
  for (const address of ['10.1.10.1', '192.0.2.1']) peers.leftPing(address, now - 15_000)
  t.strictSame(states(), ['dead', 'up'])
  peers.connectionFrom('10.1.10.1')
  t.strictSame(states(), ['up', 'up'])
})

t.test('full-size packets that are lost are a reason', async t => {
  const { peers, sample } = follow()
  sample({ lastHandshake: start })
  for (const { path } of peers) path.fullSize(false)
  t.match(peers.reasons(), [
    { code: 'mtu-black-hole', detail: /full-size ones are lost/, peer: 'ABCDEFGHIJK' },
  ])
})

t.test('a restart of wireguard-go keeps the handshake and the count', async t => {
  const { at, peers, sample, codes } = follow()
  sample({ lastHandshake: start, receivedBytes: 10, sentBytes: 20 })
  at(60)
  peers.restart()
  t.strictSame(codes(), [])
  sample({ receivedBytes: 11, sentBytes: 21 })
  t.match(peers.status(), [{ lastHandshake: start, receivedBytes: 21, sentBytes: 41 }])
})

t.test('a peer that was made again counts on', async t => {
  const { peers, sample } = follow()
  sample({ receivedBytes: 10, sentBytes: 20 })
  sample({ receivedBytes: 0, sentBytes: 5 })
  t.match(peers.status(), [{ receivedBytes: 10, sentBytes: 25 }])
})

t.test('another config: who stays is remembered', async t => {
  const { peers, sample, codes } = follow()
  sample({ lastHandshake: start, receivedBytes: 10 })
  peers.apply([peer('new', []), { ...config, keepalive: 5 }])
  t.match(peers.status(), [{ publicKey: 'new' }, { receivedBytes: 10, keepalive: 5 }])
  t.strictSame(codes(), ['no-handshake'])
  peers.apply([])
  t.strictSame(peers.status(), [])
})

t.test('where the last connection of a peer came from', async t => {
  const wide = peer('A', ['10.1.0.0/16', 'fd00:1::/32'])
  const narrow = peer('B', ['10.1.10.0/24', 'fd00:1:2::/48'])
  const known = peer('C', ['10.1.10.9/32'], { address: '10.1.10.9' })
  const own = () => [parseCidr('10.1.10.2/24')!]
  const peers = new Peers([wide, narrow, known], { log: new KeptLog(), now: () => start, own })
  const sources = () => [...peers].map(({ source }) => source)
  const after = (address: string) => {
    peers.connectionFrom(address)
    return sources()
  }
  t.strictSame(after('10.1.3.7'), ['10.1.3.7', undefined, undefined])
  t.strictSame(after('10.1.10.7'), ['10.1.3.7', '10.1.10.7', undefined], 'the longest prefix')
  t.strictSame(after('10.1.10.8'), ['10.1.3.7', '10.1.10.8', undefined], 'the last')
  t.strictSame(after('fd00:1:2::7'), ['10.1.3.7', 'fd00:1:2::7', undefined])
  t.strictSame(after('fd00:1:3::7'), ['fd00:1:3::7', 'fd00:1:2::7', undefined])
  for (const nobody of ['10.1.10.9', '10.1.10.2', '192.0.2.1', 'fe80::1%eth0', 'fd00:2::1', '', 'name'])
    t.strictSame(after(nobody), ['fd00:1:3::7', 'fd00:1:2::7', undefined], nobody)
  peers.apply([wide, known])
  t.strictSame(sources(), ['fd00:1:3::7', undefined])
  peers.apply([wide, known, narrow])
  t.strictSame(sources(), ['fd00:1:3::7', undefined, undefined], 'what another run of it said is gone')
  peers.apply([wide, known, peer('B', ['fd00:1:3::/48'])])
  t.strictSame(sources(), [undefined, undefined, undefined], "the address is another peer's now")
  t.strictSame(after('fd00:1:3::7'), [undefined, undefined, 'fd00:1:3::7'])
})

t.test('who is known by the config is not looked for', async t => {
  const peers = new Peers([peer('C', ['10.1.10.0/24'], { address: '10.1.10.9' })], {
    log: new KeptLog(),
    now: () => start,
  })
  peers.connectionFrom('10.1.10.7')
  t.equal([...peers][0]!.source, undefined)
})
