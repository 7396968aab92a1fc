import t from 'tap'
import { endStatus } from '../../src/admin/status.ts'
import { wallTime } from '../../src/clock.ts'
import type { ForwardStatus } from '../../src/connection/status.ts'
import { bare, forward, lost, parts, peer, secret, started } from './sample.ts'

t.test('times are ISO text, also where there is none', async t => {
  const status = endStatus(parts())
  t.equal(status.startedAt, '2026-01-02T03:04:05.000Z')
  t.equal(status.interface, 'wg0')
  t.equal(status.node, process.version)
  t.equal(status.tunnel?.process.since, '2026-01-02T03:04:05.000Z')
  t.same(
    status.tunnel?.peers.map(peer => peer.lastHandshake),
    ['2026-01-02T03:04:53.000Z', undefined],
  )
  t.equal(status.forwards[0]?.targets[0]?.since, '2026-01-02T03:04:05.000Z')
  t.equal(status.connections[0]?.since, '2026-01-02T03:04:55.000Z')
})

t.test('everything else is as the parts say', async t => {
  const given = parts({ tunnel: undefined })
  const status = JSON.parse(JSON.stringify(endStatus(given)))
  t.match(status, {
    version: '0.1.0',
    wireguardGo: given.wireguardGo,
    health: given.health,
    forwards: given.forwards.map(({ targets, ...forward }) =>
      JSON.parse(JSON.stringify({ ...forward, targets: targets.map(({ since, ...target }) => target) })),
    ),
    connectionsTotal: 1,
  })
  t.notOk('tunnel' in status)
  t.same(JSON.parse(JSON.stringify(endStatus(bare))).forwards, [])
})

t.test('the newest 200 connections, newest first, and how many there are', async t => {
  const [one] = parts().connections
  const connections = Array.from({ length: 500 }, (_, i) => ({ ...one!, since: started + ((i * 7) % 500) }))
  const before = structuredClone(connections)
  const status = endStatus(parts({ connections }))
  t.equal(status.connectionsTotal, 500)
  t.same(
    status.connections.map(({ since }) => Date.parse(since) - wallTime(started)),
    Array.from({ length: 200 }, (_, i) => 499 - i),
  )
  t.same(connections, before, 'the list that was given is not touched')
})

t.test('what a part carries beyond its type is not shown', async t => {
  const given = parts({
    forwards: parts().forwards.map(forward => {
      const { datagrams, refused, targets } = forward
      const laced = datagrams && {
        ...datagrams,
        [secret]: 1,
        dropped: { ...datagrams.dropped, [secret]: 1 },
      }
      const [key, more] = [{ key: secret }, { [secret]: 1 }]
      return {
        ...forward,
        ...key,
        targets: targets.map(target => ({ ...target, key: secret })),
        refused: { ...refused, ...more },
        datagrams: laced,
      } as object as ForwardStatus
    }),
    connections: parts().connections.map(connection => ({
      ...connection,
      key: secret,
      datagrams: { received: 1, sent: 1, [secret]: 1 },
    })),
  })
  t.match(JSON.stringify(given), secret)
  t.notMatch(JSON.stringify(endStatus(given)), secret)
})

t.test('a target behind a peer that is not reached is unknown, since it is not', async t => {
  const { forwards, health } = endStatus(lost())
  const unknown = { state: 'unknown', since: '2026-01-02T03:04:35.000Z', error: undefined, behind: peer }
  for (const { targets } of forwards) t.match(targets, [unknown])
  t.match(health.reasons, [
    { code: 'one-way', behind: undefined },
    { code: 'backend-down', behind: peer },
  ])
  t.notOk('behind' in endStatus(parts()).forwards[0]!.targets[0]!, 'nothing is behind one that is reached')
})

t.test(
  "whose a target is goes by the longest route; what is no address, ours or elsewhere is nobody's",
  async t => {
    const given = lost()
    const [first, second] = given.tunnel!.peers
    const states = (addresses: readonly string[], changes: object = {}) => {
      const [target] = forward('x', 'up').targets
      const targets = addresses.map(address => ({ ...target!, address }))
      const tunnel = {
        ...given.tunnel!,
        peers: [
          { ...first!, allowedIps: ['0.0.0.0/0'], routes: ['10.1.0.0/16', 'fd00:1::/32'] },
          { ...second!, routes: ['10.1.10.3/32'], path: { ...second!.path, state: 'up' as const } },
        ],
        ...changes,
      }
      return endStatus({
        ...given,
        tunnel,
        forwards: [{ ...forward('x', 'up'), targets }],
      }).forwards[0]!.targets.map(({ state }) => state)
    }
    const addresses = [
      '10.1.3.7:80',
      '[fd00:1::5]:80-90',
      '10.1.10.3:80',
      '10.1.10.1:80',
      '127.0.0.1:80',
      'web:80',
    ]
    t.strictSame(states(addresses), ['unknown', 'unknown', 'up', 'up', 'up', 'up'])
    const down = { process: { ...given.tunnel!.process, state: 'down' as const } }
    t.strictSame(states(addresses, down), ['unknown', 'unknown', 'unknown', 'up', 'up', 'up'])
  },
)

t.test('a forward with one target that is reached is down by itself', async t => {
  const given = lost()
  const [ssh] = given.forwards.filter(({ name }) => name === 'ssh')
  const targets = [ssh!.targets[0]!, { ...ssh!.targets[0]!, address: '127.0.0.1:22' }]
  const { health } = endStatus({ ...given, forwards: [{ ...ssh!, targets }] })
  t.match(health.reasons, [{ code: 'one-way' }, { code: 'backend-down', behind: undefined }])
})
