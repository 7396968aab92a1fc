import t from 'tap'
import { Path } from '../../src/tunnel/path.ts'
import { KeptLog } from './fake.ts'

/** A path with a clock; `up` has had a handshake and is sampled once a second. */
function follow({ up = true } = {}) {
  let now = 0
  const log = new KeptLog()
  const path = new Path('ABCDEFGH', { log, now: () => now })
  const sample = (receivedBytes: number, sentBytes: number, hasSession = true) =>
    path.sampled({ receivedBytes, sentBytes, hasSession })
  if (up) sample(92, 148)
  return {
    path,
    log,
    sample,
    /** Seconds pass, each with a sample like this. */
    pass: (seconds: number, receivedBytes = 0, sentBytes = 0, hasSession = true) => {
      for (let second = 0; second < seconds; second++) {
        now += 1000
        sample(receivedBytes, sentBytes, hasSession)
      }
    },
    unanswered: (times: number) => {
      for (let time = 0; time < times; time++) path.unanswered()
    },
    changes: () => log.of('path changed').map(({ fields }) => [fields.from, fields.to]),
  }
}

t.test('up from the first handshake', async t => {
  const { path, sample, log } = follow({ up: false })
  t.strictSame(path.state, { name: 'starting', since: 0 })
  sample(148, 0, false)
  t.equal(path.state.name, 'starting', 'a handshake that was begun is none')
  sample(0, 0, true)
  t.equal(path.state.name, 'up')
  t.match(log.of('path changed'), [
    { level: 'info', fields: { peer: 'ABCDEFGH', from: 'starting', to: 'up' } },
  ])
})

t.test('dead is what leaves data unanswered for 15 s', async t => {
  const { path, pass } = follow()
  pass(600)
  t.ok(path.isUp, 'mere silence')
  pass(600, 0, 32)
  t.ok(path.isUp, 'keepalives need no answer')
  pass(1, 0, 96)
  pass(14)
  t.ok(path.isUp)
  pass(1)
  t.equal(path.state.name, 'dead')
  pass(60, 0, 96)
  t.equal(path.state.name, 'dead')
  pass(1, 32)
  t.ok(path.isUp, 'it answers')
})

t.test('an answer starts the time anew', async t => {
  const { path, pass } = follow()
  for (let round = 0; round < 20; round++) {
    pass(1, 0, 1000)
    pass(12, 0, 0)
    pass(1, 32, 0)
  }
  t.ok(path.isUp)
})

t.test('bytes without a session prove nothing', async t => {
  const { path, pass } = follow()
  pass(16, 0, 96)
  path.remade()
  pass(10, 148, 92, false)
  t.equal(path.state.name, 'dead')
  pass(1, 92, 148)
  t.ok(path.isUp)
})

t.test('a peer that never was there is dead once it was called for 15 s', async t => {
  const { path, pass } = follow({ up: false })
  pass(60, 0, 0, false)
  t.equal(path.state.name, 'starting', 'nobody to call')
  pass(16, 0, 148, false)
  t.equal(path.state.name, 'dead')
})

t.test('three unanswered probes count, from an address that answered before', async t => {
  const { path, unanswered, log } = follow()
  unanswered(50)
  t.ok(path.isUp, 'a firewall that drops them')
  t.match(path.status(), { answersProbes: false, loss: undefined, rtt: undefined })
  t.notOk(path.isDoubted)
  path.answered(40)
  t.match(path.status(), { answersProbes: true, loss: 0, rtt: 40 })
  unanswered(2)
  t.ok(path.isDoubted)
  t.ok(path.isUp)
  unanswered(1)
  t.equal(path.state.name, 'dead')
  path.answered(20)
  t.ok(path.isUp)
  t.match(path.status(), { deaths: 1, rtt: 37.5, loss: 0 }, 'what a dead path lost is no loss')
  t.equal(log.of('path changed').length, 3)
})

t.test('bytes that arrive outweigh unanswered probes', async t => {
  const { path, unanswered, sample } = follow()
  path.answered(40)
  for (let round = 0; round < 50; round++) {
    unanswered(2)
    sample(1500, 0)
  }
  t.ok(path.isUp)
})

t.test('one lost probe changes nothing, and the more are lost the more have to be', async t => {
  const { path, unanswered, changes } = follow()
  for (let round = 0; round < 100; round++) {
    unanswered(1)
    path.answered(40)
  }
  t.strictSame(changes(), [['starting', 'up']])
  t.ok(path.status().loss! > 0.4 && path.status().loss! < 0.6)
  unanswered(7)
  t.ok(path.isUp)
  unanswered(3)
  t.ok(path.isDead)
})

t.test('a new wireguard-go has 15 s for the handshake', async t => {
  const { path, pass } = follow()
  path.restarted()
  pass(14, 0, 0, false)
  t.ok(path.isUp)
  pass(1, 0, 0, false)
  t.equal(path.state.name, 'dead')
  path.restarted()
  pass(60, 0, 0, false)
  t.equal(path.state.name, 'dead')

  const quick = follow()
  quick.path.restarted()
  quick.pass(1, 92, 148)
  quick.pass(60)
  t.ok(quick.path.isUp)
})

t.test('full-size packets', async t => {
  const { path, changes, unanswered } = follow()
  path.fullSize(true)
  path.fullSize(false)
  path.fullSize(false)
  t.ok(path.isUp)
  t.equal(path.status().state, 'mtu-black-hole')
  path.fullSize(true)
  path.fullSize(false)
  path.answered(1)
  unanswered(3)
  path.fullSize(true)
  path.fullSize(false)
  t.equal(path.status().state, 'dead', 'of a dead path no size is known')
  t.strictSame(changes(), [
    ['starting', 'up'],
    ['up', 'mtu-black-hole'],
    ['mtu-black-hole', 'up'],
    ['up', 'mtu-black-hole'],
    ['mtu-black-hole', 'dead'],
  ])
})

t.test('rungs are told and counted', async t => {
  const { path, log, pass } = follow()
  pass(16, 0, 96)
  path.recovering('recreate')
  path.recovering('resolve')
  t.match(path.status(), { state: 'recovering', rung: 'resolve', deaths: 1, since: 16_000 })
  t.match(log.lines.at(-1), { level: 'warn', fields: { to: 'recovering', rung: 'resolve' } })
  pass(1, 92, 148)
  t.match(path.status(), {
    state: 'up',
    rung: undefined,
    rungs: { recreate: 1, resolve: 1, port: 0, restart: 0 },
  })
})
