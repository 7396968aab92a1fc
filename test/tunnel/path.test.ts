import t from 'tap'
import { Path } from '../../src/tunnel/path.ts'
import { KeptLog } from './fake.ts'

const start = 1_700_000_000_000

/** A path with a clock; `up` has had a handshake and is sampled once a second. */
function follow({ up = true } = {}) {
  let now = start
  let lastHandshake: number | undefined
  const log = new KeptLog()
  const path = new Path('ABCDEFGH', { log, now: () => now })
  const sample = (receivedBytes: number, sentBytes: number) =>
    path.sampled({ receivedBytes, sentBytes, lastHandshake })
  /** One is completed now, or with `undefined` the running wireguard-go has had none. */
  const handshake = (at: number | undefined = now) => {
    lastHandshake = at
    sample(92, 148)
  }
  const forget = () => {
    lastHandshake = undefined
  }
  if (up) handshake()
  return {
    path,
    log,
    sample,
    handshake,
    forget,
    now: () => now,
    /** Seconds pass, each with a sample like this. */
    pass: (seconds: number, receivedBytes = 0, sentBytes = 0) => {
      for (let second = 0; second < seconds; second++) {
        now += 1000
        sample(receivedBytes, sentBytes)
      }
    },
    unanswered: (times: number) => {
      for (let time = 0; time < times; time++) path.unanswered()
    },
    changes: () => log.of('path changed').map(({ fields }) => [fields.from, fields.to]),
  }
}

t.test('up from the first handshake', async t => {
  const { path, sample, handshake, log } = follow({ up: false })
  t.strictSame(path.state, { name: 'starting', since: start })
  sample(148, 0)
  t.equal(path.state.name, 'starting', 'a handshake that was begun is none')
  handshake()
  t.equal(path.state.name, 'up')
  t.match(log.of('path changed'), [
    { level: 'info', fields: { peer: 'ABCDEFGH', from: 'starting', to: 'up' } },
  ])
})

t.test('an old handshake of an adopted wireguard-go proves nothing now', async t => {
  const { path, handshake, now } = follow({ up: false })
  handshake(now() - 180_000)
  t.equal(path.state.name, 'starting')
  const { path: young, handshake: shake } = follow({ up: false })
  shake(now() - 179_000)
  t.equal(young.state.name, 'up')
})

t.test('dead is what leaves data unanswered for 15 s', async t => {
  const { path, pass, handshake } = follow()
  pass(600)
  t.ok(path.isUp, 'mere silence')
  pass(600, 0, 32)
  t.ok(path.isUp, 'keepalives need no answer')
  handshake()
  pass(1, 0, 96)
  pass(14)
  t.ok(path.isUp)
  pass(1)
  t.equal(path.state.name, 'dead')
  pass(60, 0, 96)
  t.equal(path.state.name, 'dead')
  pass(1, 32)
  t.equal(path.state.name, 'dead', 'what arrives is no answer')
  handshake()
  t.ok(path.isUp, 'it answers')
})

t.test('whatever arrives starts the time anew, while the session is renewed', async t => {
  const { path, pass, handshake } = follow()
  for (let round = 0; round < 20; round++) {
    pass(1, 0, 1000)
    pass(12, 0, 0)
    pass(1, 32, 0)
    if (round % 9 === 8) handshake()
  }
  t.ok(path.isUp)
})

t.test('bytes without a session prove nothing', async t => {
  const { path, pass, forget, handshake } = follow()
  pass(16, 0, 96)
  forget()
  path.remade()
  pass(7, 148, 92)
  t.equal(path.state.name, 'dead')
  pass(1, 148, 92)
  t.equal(path.state.name, 'one-way', 'handshakes that it begins, and none is completed')
  handshake()
  t.ok(path.isUp)
})

t.test('a peer that never was there is dead once it was called for 15 s', async t => {
  const { path, pass } = follow({ up: false })
  pass(60, 0, 0)
  t.equal(path.state.name, 'starting', 'nobody to call')
  pass(16, 0, 148)
  t.equal(path.state.name, 'dead')
})

t.test(
  'one-way: what it sends arrives, and an address that answered leaves probes unanswered for 10 s',
  async t => {
    const { path, pass, unanswered, log, changes, now } = follow()
    path.answered(40)
    const fault = now()
    unanswered(1)
    for (let second = 0; second < 9; second++) {
      pass(1, 1500, 96)
      unanswered(1)
    }
    t.ok(path.isUp, 'a long queue, or a lossy path')
    pass(1, 1500, 96)
    t.match(path.status(), {
      state: 'one-way',
      deaths: 1,
      lastAnswer: fault,
      rtt: undefined,
      rung: undefined,
    })
    t.notOk(path.isUp)
    t.ok(path.isDead)
    pass(600, 1500, 96)
    t.equal(path.state.name, 'one-way')
    path.recovering('port')
    t.match(path.status(), { state: 'one-way', rung: 'port', since: fault + 10_000 }, 'it says what was done')
    t.match(log.lines.at(-1), { level: 'warn', fields: { from: 'one-way', to: 'one-way', rung: 'port' } })
    pass(89, 0, 96)
    t.equal(path.state.name, 'one-way')
    pass(1, 0, 96)
    t.match(
      path.status(),
      { state: 'dead', since: fault + 10_000, deaths: 1 },
      'nothing arrives any more, either',
    )
    pass(1, 148, 92)
    pass(4)
    pass(1, 148, 92)
    pass(1)
    t.equal(path.state.name, 'dead', 'the second try of a handshake may be on its way to its answer')
    pass(1)
    t.equal(path.state.name, 'one-way')
    path.answered(41)
    t.match(path.status(), { state: 'up', deaths: 1, rtt: 40.125 })
    t.strictSame(
      changes().map(([, to]) => to),
      ['up', 'one-way', 'one-way', 'dead', 'one-way', 'up'],
    )
  },
)

t.test('any answer ends the doubt: a late one, a pong, a connection, a handshake', async t => {
  for (const answer of ['late', 'other', 'handshake'] as const) {
    const { path, pass, unanswered, handshake } = follow()
    path.answered(40)
    for (let second = 0; second < 120; second++) {
      unanswered(1)
      pass(1, 1500, 96)
      if (second % 9 !== 8) continue
      if (answer === 'late') path.answered()
      else if (answer === 'other') path.proved()
      else handshake()
    }
    t.ok(path.isUp, answer)
    t.equal(path.status().deaths, 0)
    if (answer === 'other')
      t.equal(path.status().rtt, undefined, 'a round trip of long ago is not the one of now')
  }
})

t.test('a peer that answers no probes: a session that is not renewed is one-way', async t => {
  const { path, pass, unanswered } = follow()
  for (let second = 1; second < 195; second++) {
    unanswered(1)
    pass(1, 1500, 96)
  }
  t.ok(path.isUp, 'three tries after the end of the session')
  pass(1, 1500, 96)
  t.equal(path.state.name, 'one-way')
  const idle = follow()
  idle.pass(3600)
  t.ok(idle.path.isUp, 'without data no session is needed')
  idle.pass(1, 0, 148)
  idle.handshake()
  idle.pass(60)
  t.ok(idle.path.isUp)
})

t.test("a link's ping that is left, since when there was no other answer", async t => {
  const { path, pass, now } = follow()
  pass(10, 1500, 96)
  const sentAt = now()
  pass(5, 1500, 96)
  path.proved()
  pass(20, 1500, 96)
  path.leftPing(sentAt)
  t.ok(path.isUp, 'there was one')
  path.leftPing(now() - 15_000)
  t.equal(path.state.name, 'one-way')
  path.leftPing(now() - 15_000)
  t.equal(path.status().deaths, 1)
  const silent = follow()
  silent.pass(15)
  silent.path.leftPing(silent.now() - 15_000 + 1)
  t.equal(silent.path.state.name, 'dead', 'nothing arrives')
})

t.test("a link's answered ping stands in for a probe where it tells as much", async t => {
  const { path, pass, now, sample } = follow()
  const isConfirmed = (roundTrip: number) => {
    path.pinged(roundTrip)
    return path.isConfirmed(now() - roundTrip + 5000, 5000)
  }
  t.notOk(isConfirmed(40), 'a peer that has answered no probe')
  path.answered(40)
  t.ok(isConfirmed(48))
  t.match(path.status(), { rtt: 41, loss: 0, lastAnswer: now() })
  pass(1, 6000, 6000)
  t.ok(isConfirmed(40))
  pass(1, 500, 6001)
  t.notOk(isConfirmed(40), 'much is sent')
  pass(4, 500, 500)
  t.notOk(isConfirmed(40))
  pass(1, 500, 500)
  t.ok(isConfirmed(40))
  pass(1, 500, 500)
  t.notOk(isConfirmed(path.status().rtt! + 151), 'it may have been sent again')
  t.equal(path.status().lastAnswer, now(), 'it is an answer all the same')
  path.unanswered()
  t.notOk(isConfirmed(40), 'some are lost')
  for (let probe = 0; probe < 12; probe++) path.answered(40)
  t.ok(isConfirmed(40))
  pass(1)
  path.askedElsewhere()
  t.notOk(isConfirmed(40), 'another address has answered none')
  sample(6001, 0)
  path.answered(40)
  t.notOk(isConfirmed(40), 'much arrives')
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

t.test('bytes that arrive outweigh a few unanswered probes', async t => {
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
  const { path, pass, forget } = follow()
  forget()
  path.restarted()
  pass(14)
  t.ok(path.isUp)
  pass(1)
  t.equal(path.state.name, 'dead')
  path.restarted()
  pass(60)
  t.equal(path.state.name, 'dead')

  const quick = follow()
  quick.forget()
  quick.path.restarted()
  quick.pass(1)
  quick.handshake()
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
  const { path, log, pass, handshake } = follow()
  pass(16, 0, 96)
  path.recovering('recreate')
  path.recovering('resolve')
  t.match(path.status(), { state: 'recovering', rung: 'resolve', deaths: 1, since: start + 16_000 })
  t.match(log.lines.at(-1), { level: 'warn', fields: { to: 'recovering', rung: 'resolve' } })
  handshake()
  t.match(path.status(), {
    state: 'up',
    rung: undefined,
    rungs: { recreate: 1, resolve: 1, port: 0, restart: 0 },
  })
})
