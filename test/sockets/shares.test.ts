import fc from 'fast-check'
import t from 'tap'
import { Descriptors, usableOf } from '../../src/sockets/descriptors.ts'
import { newShare } from '../../src/sockets/shares.ts'

/** Descriptors of three forwards and two peers: 808 of them. */
function shared() {
  const descriptors = new Descriptors(1000)
  const forwards = ['a', 'b', 'c'].map(name => newShare(`forward ${name}`))
  const peers = ['x', 'y'].map(name => newShare(`peer ${name}`))
  descriptors.forwards.configure(forwards)
  descriptors.peers.configure(peers)
  return { descriptors, forwards, peers }
}

const [usable, ofForward, ofPeer] = [usableOf(1000), 67, 101]

t.test('alone: one forward and one peer get all that there is', async t => {
  const descriptors = new Descriptors(1000)
  const [forward, peer] = [newShare('forward a'), newShare('peer x')]
  descriptors.forwards.configure([forward])
  descriptors.peers.configure([peer])
  let count = 0
  while (descriptors.shortage(1, forward, peer) === undefined) {
    descriptors.take(1, forward, peer)
    count++
  }
  t.equal(count, usable)
  t.equal(descriptors.shortage(1), '808 descriptors are in use or spoken for, of 1000 less a reserve')
})

t.test('one among several gets all but what is kept for the others, who get that', async t => {
  const { descriptors, forwards, peers } = shared()
  const fill = (forward?: number, peer?: number) => {
    const [to, from] = [forwards[forward ?? -1], peers[peer ?? -1]]
    let count = 0
    for (; descriptors.shortage(1, to, from) === undefined; count++) descriptors.take(1, to, from)
    return count
  }
  t.equal(fill(0), usable - 2 * ofForward)
  t.equal(
    descriptors.shortage(1, forwards[0]),
    'forward a has 674, of which 67 are certain; 134 of 1000 descriptors are free, and kept for others',
  )
  t.equal(fill(1), ofForward)
  t.equal(fill(), 0, 'the port of a link gets none that is kept for a forward')
  t.equal(fill(2, 1), ofForward)
  t.equal(descriptors.free, 0)
})

t.test('a peer that has taken what it can leaves the others theirs, for whichever forward', async t => {
  const { descriptors, forwards, peers } = shared()
  while (descriptors.shortage(1, forwards[0], peers[0]) === undefined)
    descriptors.take(1, forwards[0], peers[0])
  t.equal(peers[0]!.used, usable - 2 * ofForward - ofPeer)
  let count = 0
  for (; descriptors.shortage(1, forwards[0], peers[1]) === undefined; count++)
    descriptors.take(1, forwards[0], peers[1])
  t.equal(count, ofPeer)
})

t.test('who is no longer among them has nothing for certain, and what it has still counts', async t => {
  const { descriptors, forwards } = shared()
  descriptors.take(50, forwards[0])
  descriptors.forwards.configure(forwards.slice(1))
  t.equal(forwards[0]!.guaranteed, 0)
  t.equal(forwards[1]!.guaranteed, 101)
  t.equal(descriptors.used, 50)
  descriptors.take(-50, forwards[0])
  t.equal(descriptors.used, 0)
  t.equal(descriptors.forwards.keptFrom(undefined), 202)
})

t.test('whoever comes and goes, nobody is refused what is certain to a forward', async t => {
  const ask = fc.record({
    forward: fc.nat(2),
    peer: fc.option(fc.nat(1), { freq: 2 }),
    count: fc.integer({ min: -200, max: 800 }),
  })
  fc.assert(
    fc.property(fc.array(ask, { maxLength: 20 }), asks => {
      const { descriptors, forwards, peers } = shared()
      const open = new Map<string, number>()
      for (const { forward, peer, count } of asks) {
        const key = `${forward} ${peer}`
        const [to, from] = [forwards[forward]!, peer === null ? undefined : peers[peer]!]
        for (let i = 0; i < Math.abs(count); i++) {
          const has = open.get(key) ?? 0
          if (count < 0 && has === 0) break
          const isCertain = to.used < to.guaranteed
          const isRefused = count > 0 && descriptors.shortage(1, to, from) !== undefined
          if (isRefused && isCertain) return false
          if (isRefused) break
          descriptors.take(Math.sign(count), to, from)
          open.set(key, has + Math.sign(count))
        }
      }
      return descriptors.free >= 0
    }),
    { numRuns: 300 },
  )
  t.pass()
})
