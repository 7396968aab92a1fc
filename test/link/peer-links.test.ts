import t from 'tap'
import { Lanes } from '../../src/link/lanes.ts'
import { type AcceptedLink, PeerLimit, PeerLinks } from '../../src/link/peer-links.ts'
import type { Session } from '../../src/link/session.ts'
import { newShare } from '../../src/sockets/shares.ts'

/** As many links as one peer may have, of which those of `silent` do not answer; each has so many of 9 streams. */
function full(silent: readonly number[] = [], streams = 0) {
  const peer = new PeerLinks(newShare('peer one'))
  const closed: number[] = []
  for (let i = 0; i < 16; i++) {
    const close = () => {
      closed.push(i)
      peer.links.delete(link)
    }
    const session = {
      isReady: !silent.includes(i),
      streams,
      own: { streams: 9 },
      close,
    } as unknown as Session
    const link: AcceptedLink = { session, lanes: new Lanes(), peer }
    peer.links.add(link)
  }
  return { peer, closed }
}

t.test('one link more than a peer may have', async t => {
  const { peer, closed } = full()
  t.throws(() => peer.roomForLink(), new PeerLimit('it has 16 links'))
  t.same(closed, [])
})

t.test('a link that is full is not one that nobody answers', async t => {
  const { peer, closed } = full([3], 9)
  t.throws(() => peer.roomForLink(), new PeerLimit('it has 16 links'))
  t.same(closed, [])
})

t.test(
  'links that nobody answers make room, one for each new one: the end behind them has started afresh',
  async t => {
    const { peer, closed } = full([3, 9])
    peer.roomForLink()
    t.same(closed, [3])
    peer.roomForLink()
    t.same(closed, [3], 'there was room')
    peer.links.add({ ...[...peer.links][0]! })
    peer.roomForLink()
    t.same(closed, [3, 9])
    peer.links.add({ ...[...peer.links][0]! })
    t.throws(() => peer.roomForLink(), new PeerLimit('it has 16 links'))
  },
)
