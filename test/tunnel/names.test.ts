import t from 'tap'
import { EndpointNames } from '../../src/tunnel/names.ts'
import { hasRoute } from '../../src/tunnel/routes.ts'
import { KeptLog } from './fake.ts'
import { peer } from './lab.ts'

const named = peer('ABCDEFGHIJK', ['10.1.10.0/24'], { endpoint: { host: 'gateway.example', port: 51820 } })

function names(answers: (readonly string[] | Error)[], usable: readonly string[] = []) {
  const log = new KeptLog()
  const attempts: number[] = []
  const made = new EndpointNames([named], {
    log,
    resolve: async () => {
      const answer = answers.shift()
      if (answer instanceof Error || answer === undefined) throw answer ?? new Error('asked too often')
      return answer
    },
    usable: async address => usable.includes(address),
    retry: attempt => {
      attempts.push(attempt)
      return 0
    },
  })
  return { made, log, attempts }
}

const resolved = (made: EndpointNames) =>
  new Promise<void>(done => made.follow(new AbortController().signal, done))

t.test('literals are known at once, and nothing is resolved', async t => {
  const literal = peer('A', [], { endpoint: { host: '2001:db8::1', port: 7 } })
  const scoped = peer('C', [], { endpoint: { host: 'fe80::1%eth0', port: 7 } })
  const none = peer('B', [])
  const made = new EndpointNames([literal, scoped, none], {
    log: new KeptLog(),
    resolve: () => t.fail('resolved') as never,
  })
  made.follow(new AbortController().signal, () => t.fail('called'))
  t.equal(made.take(literal), '[2001:db8::1]:7')
  t.equal(made.take(scoped), '[fe80::1%eth0]:7')
  t.equal(made.take(none), undefined)
  t.strictSame(made.takeNew(), [])
  t.strictSame(made.reasons(), [])
})

t.test('a name is tried until it resolves', async t => {
  const failure = new Error('SERVFAIL')
  const { made, log, attempts } = names([failure, failure, [], ['192.0.2.1']])
  t.match(made.reasons(), [
    {
      code: 'endpoint-unresolved',
      detail: /gateway\.example of peer ABCDEFGH .*not resolved yet/,
      peer: 'ABCDEFGHIJK',
    },
  ])
  t.equal(made.take(named), undefined)
  await resolved(made)
  t.strictSame(attempts, [0, 1, 2])
  t.strictSame(made.takeNew(), [{ peer: named, endpoint: '192.0.2.1:51820', moved: false }])
  t.strictSame(made.takeNew(), [])
  t.strictSame(made.reasons(), [])
  t.match(log.of('endpoint not resolved'), [
    { fields: { error: 'SERVFAIL' } },
    { fields: { error: /has no address/ } },
  ])
})

t.test('what was taken is not new', async t => {
  const { made } = names([['192.0.2.1']])
  await resolved(made)
  t.equal(made.take(named), '192.0.2.1:51820')
  t.strictSame(made.takeNew(), [])
})

t.test('the first address with a route, else the first; never one inside the tunnel', async t => {
  for (const [answer, usable, chosen] of [
    [['2001:db8::1', '192.0.2.1'], ['192.0.2.1'], '192.0.2.1:51820'],
    [['2001:DB8:0::1', '192.0.2.1'], ['2001:db8::1', '192.0.2.1'], '[2001:db8::1]:51820'],
    [['2001:db8::1', '192.0.2.1'], [], '[2001:db8::1]:51820'],
    [['10.1.10.1', '192.0.2.1'], ['10.1.10.1'], '192.0.2.1:51820'],
    [['::ffff:10.1.10.1', '192.0.2.1'], [], '192.0.2.1:51820'],
  ] as const) {
    const { made } = names([answer], usable)
    await resolved(made)
    t.equal(made.take(named), chosen)
  }
  const { made, log } = names([['10.1.10.1', '10.1.10.9']])
  const stop = new AbortController()
  made.follow(stop.signal, () => t.fail('resolved'))
  t.match(await log.seen('endpoint not resolved'), { level: 'error', fields: { error: /AllowedIPs/ } })
  t.match(made.reasons(), [{ code: 'endpoint-unresolved', detail: /10\.1\.10\.1, 10\.1\.10\.9 is inside/ }])
  stop.abort()
})

t.test(
  'whether a name resolves is asked anew, and the addresses known before serve until it does',
  async t => {
    const log = new KeptLog()
    const literal = peer('L', [], { endpoint: { host: '192.0.2.7', port: 7 } })
    let now: () => Promise<readonly string[]> = async () => ['192.0.2.1', '192.0.2.2']
    const made = new EndpointNames([named, literal], {
      log,
      resolve: async (_, { lastGood = true } = {}) => (lastGood ? ['192.0.2.1', '192.0.2.2'] : now()),
      usable: async () => true,
      answerWithin: 20,
    })
    t.ok(made.resolves(literal))
    t.notOk(made.resolves(named), 'not yet')
    await resolved(made)
    t.ok(made.resolves(named))
    for (const [fails, error] of [
      [async () => Promise.reject(new Error('SERVFAIL')), /SERVFAIL/],
      [async () => [], /has no address/],
      [async () => ['10.1.10.1'], /AllowedIPs/],
      [() => new Promise<never>(() => {}), /no name server answered within 20 ms/],
    ] as const) {
      now = fails
      const before = made.take(named)
      t.equal(await made.refresh(named, { ifGone: true }), false)
      t.equal(made.take(named), before)
      t.equal(await made.refresh(named, { ifGone: false }), true, 'the next of those known before')
      t.not(made.take(named), before)
      t.notOk(made.resolves(named))
      t.match(log.of('endpoint not resolved again').at(-1), { level: 'warn', fields: { error } })
    }
    now = async () => ['192.0.2.9']
    t.equal(await made.refresh(named, { ifGone: true }), true)
    t.equal(made.take(named), '192.0.2.9:51820')
    t.ok(made.resolves(named))
  },
)

t.test('an end ends it', async t => {
  const answer = Promise.withResolvers<string[]>()
  const made = new EndpointNames([named], { log: new KeptLog(), resolve: () => answer.promise })
  const stop = new AbortController()
  made.follow(stop.signal, () => t.fail('resolved'))
  stop.abort()
  answer.resolve(['192.0.2.1'])
  await new Promise(setImmediate)
  t.equal(made.take(named), undefined)
})

t.test(
  'another config: what stays is not asked for again, what is new is followed, and there is a way back',
  async t => {
    const { made } = names([['192.0.2.1'], ['192.0.2.2'], new Error('SERVFAIL'), ['192.0.2.3']])
    await resolved(made)
    t.equal(made.take(named), '192.0.2.1:51820')
    made.apply([{ ...named, keepalive: 5 }])
    t.equal(made.take(named), '192.0.2.1:51820')
    const elsewhere = peer('ABCDEFGHIJK', [], { endpoint: { host: 'other.example', port: 1 } })
    const goBack = made.apply([elsewhere])
    t.equal(made.take(elsewhere), undefined)
    t.match(made.reasons(), [{ detail: /other\.example/ }])
    goBack()
    t.equal(made.take(named), '192.0.2.1:51820')
    await new Promise(setImmediate)
    t.strictSame(made.takeNew(), [], "an answer that comes too late is nobody's")
    await new Promise<void>(done => {
      made.follow(new AbortController().signal, done)
      made.apply([elsewhere])
    })
    t.strictSame(made.takeNew(), [{ peer: elsewhere, endpoint: '192.0.2.3:1', moved: true }])
    made.apply([])
    t.equal(made.take(elsewhere), undefined)
  },
)

t.test('a route is known without a packet', async t => {
  t.equal(await hasRoute('127.0.0.1'), true)
  t.equal(await hasRoute('::1'), true)
  // No route covers the discard prefix unless there is a default one, and then it is one.
  t.type(await hasRoute('100::1'), 'boolean')
  t.equal(await hasRoute('255.255.255.255'), false)
})
