import t from 'tap'
import { Peers } from '../../src/tunnel/peers.ts'
import type { DevicePeer } from '../../src/tunnel/uapi-codec.ts'
import { KeptLog } from './fake.ts'
import { peer } from './lab.ts'

const start = 1_700_000_000_000

/** One peer, a clock, and samples of it. */
function follow() {
  let now = start
  const log = new KeptLog()
  const peers = new Peers(
    [peer('ABCDEFGHIJK', ['10.1.10.2/24'], { endpoint: { host: 'gw', port: 1 }, keepalive: 25 })],
    {
      log,
      now: () => now,
    },
  )
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
      configuredEndpoint: 'gw:1',
      endpoint: '192.0.2.1:2',
      lastHandshake: start,
      receivedBytes: 0,
      sentBytes: 0,
      keepalive: 25,
    },
  ])
  peers.update({ listenPort: 1, fwMark: 0, peers: [] })
  t.strictSame(codes(), [], 'a sample without the peer changes nothing')
})

t.test('stale is an old handshake and silence where something was sent', async t => {
  const { at, sample, codes } = follow()
  const lastHandshake = start
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 100 })
  at(300)
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 100 })
  t.strictSame(codes(), [], 'mere silence')
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 247 })
  t.strictSame(codes(), [], 'a byte short of an initiation')
  sample({ lastHandshake, receivedBytes: 100, sentBytes: 248 })
  t.strictSame(codes(), ['handshake-stale'])
  sample({ lastHandshake, receivedBytes: 101, sentBytes: 248 })
  t.strictSame(codes(), [], 'it answers')
  sample({ lastHandshake, receivedBytes: 101, sentBytes: 9999 })
  at(314.999)
  t.strictSame(codes(), [])
  at(315)
  t.strictSame(codes(), ['handshake-stale'])
})

t.test('a handshake of at most 195 s is none too old', async t => {
  const { at, sample, codes } = follow()
  sample({ lastHandshake: start, receivedBytes: 1 })
  sample({ lastHandshake: start, receivedBytes: 1, sentBytes: 1000 })
  at(195)
  t.strictSame(codes(), [])
  at(195.001)
  t.strictSame(codes(), ['handshake-stale'])
})

t.test('a restart of wireguard-go has ten seconds, keeps the handshake and the count', async t => {
  const { at, peers, sample, codes } = follow()
  sample({ lastHandshake: start, receivedBytes: 10, sentBytes: 20 })
  at(60)
  peers.restart()
  t.strictSame(codes(), [])
  sample({ receivedBytes: 11, sentBytes: 21 })
  t.match(peers.status(), [{ lastHandshake: start, receivedBytes: 21, sentBytes: 41 }])
  at(69.999)
  t.strictSame(codes(), [])
  at(70)
  t.strictSame(codes(), ['no-handshake'])
  at(80)
  peers.restart()
  t.strictSame(codes(), ['no-handshake'], 'a peer in trouble gets no grace')
})

t.test('a peer that was made again counts on', async t => {
  const { peers, sample } = follow()
  sample({ receivedBytes: 10, sentBytes: 20 })
  sample({ receivedBytes: 0, sentBytes: 5 })
  t.match(peers.status(), [{ receivedBytes: 10, sentBytes: 25 }])
})
