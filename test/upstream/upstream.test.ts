import t, { type Test } from 'tap'
import type { UpstreamConfig } from '../../src/config/config.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import type { Target } from '../../src/upstream/target.ts'
import { Upstream } from '../../src/upstream/upstream.ts'
import { recordingLog } from '../fixtures/log.ts'
import { at, eventually, to } from '../forward/bench.ts'

/** Which target a connection gets, by what is known of them. */

const [a, b, c] = ['192.0.2.1', '192.0.2.2', '192.0.2.3'].map(host => at(host, 80)) as [
  ReturnType<typeof at>,
  ReturnType<typeof at>,
  ReturnType<typeof at>,
]

function upstream(
  t: Test,
  config: UpstreamConfig,
  resolve: (host: string) => Promise<readonly string[]> = async host => [host],
) {
  const { log, lines } = recordingLog()
  let changes = 0
  const upstream = new Upstream({
    name: 'web',
    log,
    descriptors: new Descriptors(Number.POSITIVE_INFINITY),
    resolve,
    knock: () => {
      throw new Error('it is not checked')
    },
    changed: () => changes++,
  })
  upstream.configure(config)
  t.teardown(() => upstream.close())
  const picked = (tried?: readonly Target[]) => upstream.pick(tried)?.address
  return { upstream, picked, lines, changes: () => changes }
}

const addressed = ({ targets }: Upstream, address: string) =>
  targets.find(target => target.address === address)!

t.test('first: the first that is not down, each once', async t => {
  const { upstream: one, picked } = upstream(t, to(a, b, c))
  t.same([picked(), picked()], [a.host, a.host])
  one.failed(one.targets[0]!, 'ECONNREFUSED')
  t.same([picked(), picked()], [b.host, b.host])
  t.equal(picked([one.targets[1]!]), c.host)
  t.equal(picked([one.targets[1]!, one.targets[2]!]), a.host, 'what is only suspected comes last')
  t.equal(picked(one.targets), undefined)
  one.targets[0]!.succeeded()
  t.equal(picked(), a.host)
})

t.test('roundrobin: each in turn, without those that are down', async t => {
  const { upstream: one, picked } = upstream(t, { ...to(a, b, c), balance: 'roundrobin' })
  t.same([picked(), picked(), picked(), picked()], [a.host, b.host, c.host, a.host])
  one.failed(addressed(one, c.host), 'ECONNREFUSED')
  t.same([picked(), picked(), picked()], [b.host, a.host, b.host])
})

t.test('leastconn: the one with the fewest connections, in turn where they are equal', async t => {
  const { upstream: one, picked } = upstream(t, { ...to(a, b, c), balance: 'leastconn' })
  t.same([picked(), picked(), picked()], [a.host, b.host, c.host])
  one.targets[0]!.open = 2
  one.targets[1]!.open = 1
  one.targets[2]!.open = 2
  t.same([picked(), picked()], [b.host, b.host])
  one.failed(addressed(one, b.host), 'ECONNREFUSED')
  t.same([picked(), picked()].sort(), [a.host, c.host])
})

t.test('one that is down for certain gets nobody; a failure alone is not certain', async t => {
  const { upstream: one, picked, lines } = upstream(t, { ...to(a), check: 'passive' })
  one.failed(one.targets[0]!, 'ECONNREFUSED')
  t.equal(picked(), a.host)
  t.notOk(one.isDead)
  t.ok(one.isDown)
  one.targets[0]!.failed('ETIMEDOUT', true)
  t.equal(picked(), undefined)
  t.ok(one.isDead)
  t.equal(one.why, '192.0.2.1:80: ETIMEDOUT')
  one.told(a.host, new Map([[80, true]]))
  t.equal(picked(), a.host)
  t.match(lines, [
    ['warn', { forward: 'web', target: '192.0.2.1:80', error: 'ETIMEDOUT' }, 'target down'],
    ['info', { forward: 'web', target: '192.0.2.1:80' }, 'target up'],
  ])
})

t.test(
  'where nobody else tries them, clients do: those that failed last, and after 5 s by the rule',
  async t => {
    const { upstream: one, picked } = upstream(t, to(a, b))
    one.told(a.host, new Map([[80, false]]))
    t.notOk(one.targets[0]!.isDead)
    t.equal(picked(), b.host)
    one.targets[0]!.failedAt -= 5001
    t.equal(picked(), a.host)
  },
)

t.test('what one port of a range does says nothing of the others', async t => {
  const { upstream: one, picked } = upstream(t, to(at('192.0.2.1', 80, 90), at('192.0.2.2', 80, 90)))
  one.failed(one.targets[0]!, 'ECONNREFUSED')
  t.equal(picked(), '192.0.2.1')
  t.equal(picked([one.targets[0]!]), '192.0.2.2')
})

t.test('a name is as many targets as it has addresses, now', async t => {
  let addresses = ['192.0.2.1', '192.0.2.2']
  const { upstream: one, picked } = upstream(t, to(at('web.example', 80)), async () => addresses)
  t.equal(picked(), undefined)
  await one.query
  t.same(
    [picked(), one.status().map(({ address, name }) => `${address} ${name}`)],
    ['192.0.2.1', ['192.0.2.1:80 web.example', '192.0.2.2:80 web.example']],
  )
  const stays = addressed(one, '192.0.2.2')
  one.failed(stays, 'ECONNREFUSED')
  addresses = ['192.0.2.3', '192.0.2.2', '2001:db8::1']
  await eventually(() => one.targets.length === 3)
  t.same(
    one.targets.map(({ address }) => address),
    ['192.0.2.2', '192.0.2.3', '2001:db8::1'],
  )
  t.equal(addressed(one, '192.0.2.2'), stays, 'what is known of it stays')
  t.equal(picked(), '192.0.2.3')
  addresses = ['192.0.2.2']
  await eventually(() => one.targets.length === 1)
  t.equal(picked(), '192.0.2.2', 'the only one left, though suspected')
})

t.test('a name without an address: said why, tried again, and down when it fails twice', async t => {
  let fails = true
  const { upstream: one, picked } = upstream(
    t,
    { ...to(at('web.example', 80)), check: 'passive' },
    async () => {
      if (fails) throw new Error('no address for web.example')
      return ['192.0.2.1']
    },
  )
  t.equal(one.query, undefined, 'not before it is needed')
  t.equal(picked(), undefined)
  t.ok(one.query)
  await one.query
  t.equal(one.query, undefined)
  t.equal(one.why, 'no address for web.example')
  t.match(one.status(), [{ address: 'web.example:80', state: 'down', error: 'no address for web.example' }])
  t.notOk(one.isDead)
  await eventually(() => one.isDead)
  fails = false
  await eventually(() => !one.isDead)
  t.equal(picked(), '192.0.2.1')
  fails = true
  await new Promise(resolve => setTimeout(resolve, 1500))
  t.equal(picked(), '192.0.2.1', 'the last good answer is kept')
  t.notOk(one.isDown)
})

t.test('another list: a target that stays keeps what is known of it', async t => {
  const { upstream: one, picked } = upstream(t, to(a, b))
  one.failed(one.targets[1]!, 'ECONNREFUSED')
  const stays = one.targets[1]
  one.configure(to(c, b))
  t.equal(one.targets[1], stays)
  t.equal(stays?.state, 'down')
  t.equal(picked(), c.host)
})

t.test('a name has 256 targets at most, and those that stay are kept first', async t => {
  let round = 0
  const name = { host: 'many.example', first: 80, last: 80 }
  const answers = [0, 100].map(from =>
    Array.from({ length: 4000 }, (_, i) => `10.0.${(from + i) >> 8}.${(from + i) & 255}`),
  )
  const { upstream: one } = upstream(t, { ...to(name), check: false }, async () => answers[round]!)
  one.pick(undefined)
  await eventually(() => one.targets.length > 0)
  t.equal(one.targets.length, 256)
  const before = new Set(one.targets)
  round = 1
  await eventually(() => one.targets.some(target => !before.has(target)))
  t.equal(one.targets.length, 256)
  t.equal(one.targets.filter(target => before.has(target)).length, 156)
  for (const target of one.targets) target.failed('ECONNREFUSED', false)
  t.match(one.why, /^(10\.0\.0\.\d+:80: ECONNREFUSED, ){8}and 248 more$/)
})
