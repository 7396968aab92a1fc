import { createServer } from 'node:net'
import t from 'tap'
import { Links } from '../../src/link/links.ts'
import type { Session } from '../../src/link/session.ts'
import { type Holder, Unread, unreadLimit } from '../../src/link/unread.ts'
import { socketOptions } from '../../src/sockets/reader.ts'
import { newShare } from '../../src/sockets/shares.ts'
import { dialLink } from '../attack/far-end.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, trustLoopback, unattended } from './bench.ts'

const mib = 1 << 20

/** A stream of a share that holds so much; who is cut is noted by its name, and holds nothing from then on. */
function holder(name: string, cut: string[]): Holder & { unread: number } {
  return {
    unread: 0,
    counted: 0,
    abort() {
      cut.push(name)
      this.unread = 0
    },
  }
}

function world(limit: number) {
  const unread = new Unread(limit)
  const cut: string[] = []
  const peers: Record<string, object> = {}
  const share = (address: string) => {
    const peer = peers[address] ?? {}
    peers[address] = peer
    const share = unread.join(peer)
    return (name: string, bytes: number) => {
      const stream = holder(name, cut)
      const abort = stream.abort.bind(stream)
      stream.abort = why => {
        abort(why)
        share.count(stream)
      }
      stream.unread = bytes
      share.count(stream)
      return { stream, share }
    }
  }
  return { unread, cut, share }
}

t.test('what fits stays', async t => {
  const { cut, share } = world(800)
  const hold = share('a')
  hold('a1', 200)
  hold('a2', 200)
  t.same(cut, [])
})

t.test('of a peer that holds too much, those that hold most are cut until the rest fits', async t => {
  const { cut, share } = world(2000)
  const hold = share('a')
  hold('a1', 10)
  hold('a2', 400)
  hold('a3', 300)
  t.same(cut, [])
  const { share: ofPeer } = hold('a4', 350)
  t.same(cut, ['a2'])
  t.equal(ofPeer.bytes, 660)
})

t.test('all links of a peer share, and other peers have their own', async t => {
  const { cut, share } = world(2000)
  const [first, second, other] = [share('a'), share('a'), share('b')]
  first('a1', 600)
  other('b1', 900)
  t.same(cut, [])
  second('a2', 500)
  t.same(cut, ['a1'])
})

t.test('a peer with many addresses is one', async t => {
  const [many, other] = [newShare('peer many'), newShare('peer other')]
  const sessions: Session[] = []
  const links = new Links({
    ...unattended(),
    log: recordingLog().log,
    peerOf: address => (address === '127.0.0.9' ? other : many),
    accepted: session => sessions.push(session),
  })
  links.configure(trustLoopback)
  const gate = createServer(socketOptions, socket => links.accept(socket))
  const at = { host: '127.0.0.1', port: await listening(gate) }
  for (const localAddress of ['127.0.0.2', '127.0.0.3', '127.0.0.9']) {
    const link = await dialLink({ ...at, localAddress } as typeof at)
    t.teardown(() => link.socket.destroy())
  }
  await eventually(() => sessions.length === 3)
  t.equal(sessions[0]!.holdings, sessions[1]!.holdings)
  t.not(sessions[0]!.holdings, sessions[2]!.holdings)
  void links.close(AbortSignal.abort())
  gate.close()
})

t.test('where all together hold too much, it is the peer that holds most', async t => {
  const { cut, share } = world(2000)
  const [a, b, c] = [share('a'), share('b'), share('c')]
  a('a1', 700)
  a('a2', 200)
  b('b1', 800)
  c('c1', 500)
  t.same(cut, ['a1'])
})

t.test('what a socket has taken meanwhile does not count', async t => {
  const { cut, share } = world(2000)
  const hold = share('a')
  const { stream, share: ofPeer } = hold('a1', 800)
  stream.unread = 0
  hold('a2', 300)
  t.same(cut, [])
  t.equal(ofPeer.bytes, 300)
})

t.test('a container with less memory holds less', async t => {
  t.equal(unreadLimit(2 ** 64), 256 * mib)
  t.equal(unreadLimit(0), 256 * mib)
  t.equal(unreadLimit(512 * mib), 64 * mib)
  t.equal(unreadLimit(64 * mib), 16 * mib)
})
