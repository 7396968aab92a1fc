import t from 'tap'
import { endStatus } from '../../src/admin/status.ts'
import { bare, parts, secret, started } from './sample.ts'

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
    status.connections.map(({ since }) => Date.parse(since) - started),
    Array.from({ length: 200 }, (_, i) => 499 - i),
  )
  t.same(connections, before, 'the list that was given is not touched')
})

t.test('what a part carries beyond its type is not shown', async t => {
  const given = parts({
    forwards: parts().forwards.map(forward => ({
      ...forward,
      key: secret,
      targets: forward.targets.map(target => ({ ...target, key: secret })),
      refused: { ...forward.refused, [secret]: 1 },
    })),
    connections: parts().connections.map(connection => ({ ...connection, key: secret })),
  })
  t.match(JSON.stringify(given), secret)
  t.notMatch(JSON.stringify(endStatus(given)), secret)
})
