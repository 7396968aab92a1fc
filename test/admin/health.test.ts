import { mock } from 'node:test'
import t from 'tap'
import { Health, type HealthPolicy } from '../../src/admin/health.ts'
import { momentOf } from '../../src/clock.ts'
import type { Reason, ReasonCode } from '../../src/reason.ts'
import { recordingLog } from '../fixtures/log.ts'

const policy: HealthPolicy = { peers: ['A', 'B'], forwards: ['http', 'ssh'], backends: 'degraded' }

function end(changes: Partial<HealthPolicy> = {}) {
  const state = { now: momentOf(0), reasons: [] as Reason[], policy: { ...policy, ...changes } }
  const { log, lines } = recordingLog()
  const health = new Health({
    sources: [() => state.reasons.slice(0, 1), () => state.reasons.slice(1)],
    policy: () => state.policy,
    log,
    now: () => state.now,
  })
  t.teardown(() => health.close())
  const status = (...reasons: Reason[]) => {
    state.reasons = reasons
    return health.evaluate().status
  }
  return { health, state, lines, status }
}

const about = (code: ReasonCode, rest: Partial<Reason> = {}): Reason => ({ code, detail: 'seen', ...rest })

t.test('reasons about the end make it unready', async t => {
  const { status } = end()
  t.equal(status(), 'ready')
  for (const code of ['starting', 'tunnel-process-down', 'listen-failed', 'draining'] as const)
    t.equal(status(about(code)), 'unready', code)
  t.equal(status(about('device-changed')), 'unready')
  t.equal(
    status(about('device-changed', { serving: true })),
    'degraded',
    'but for an end that serves all the same',
  )
})

t.test('reasons about peers make it unready when every peer has one', async t => {
  const { status, state } = end()
  for (const code of [
    'no-handshake',
    'handshake-stale',
    'endpoint-unresolved',
    'one-way',
    'no-route-back',
    'no-tunnel-route',
  ] as const) {
    t.equal(status(about(code, { peer: 'A' })), 'degraded', code)
    t.equal(status(about(code, { peer: 'A' }), about('no-handshake', { peer: 'B' })), 'unready', code)
  }
  const twice = [about('no-handshake', { peer: 'A' }), about('endpoint-unresolved', { peer: 'A' })]
  t.equal(status(...twice), 'degraded', 'two reasons of one peer are one peer')
  state.policy = { ...policy, peers: ['A'] }
  t.equal(status(...twice), 'unready', 'the peers are asked for each time')
  state.policy = { ...policy, peers: [] }
  t.equal(status(...twice), 'degraded', 'no peer is not every peer')
})

t.test('it is patient with its peers only until one has answered', async t => {
  const away = [about('no-handshake', { peer: 'A' }), about('path-dead', { peer: 'B' })]
  const { status, state, health } = end({ backends: 'unready' })
  state.now += 5_000
  status(...away)
  t.notOk(health.outwaited(5_001))
  t.ok(health.outwaited(5_000))
  for (const code of ['starting', 'draining', 'tunnel-process-down', 'listen-failed'] as const) {
    status(about(code), ...away)
    t.notOk(health.outwaited(5_000), code)
  }
  status(about('no-tunnel-route', { peer: 'A' }), about('no-tunnel-route', { peer: 'B' }))
  t.notOk(health.outwaited(5_000), 'no route of this host')
  status(...away, about('backend-down', { forward: 'http' }), about('backend-down', { forward: 'ssh' }))
  t.notOk(health.outwaited(5_000), 'targets are another matter')
  status(...away)
  t.ok(health.outwaited(5_000))
  t.equal(status(away[0]!), 'degraded')
  status(...away)
  t.notOk(health.outwaited(5_000), 'one has answered: unready is the truth from now on')
})

t.test('targets that are down degrade it, or make it unready when that is wanted and all are', async t => {
  const down = [about('backend-down', { forward: 'http' }), about('backend-down', { forward: 'ssh' })]
  t.equal(end().status(...down), 'degraded')
  const strict = end({ backends: 'unready' })
  t.equal(strict.status(down[0]!), 'degraded')
  t.equal(strict.status(...down), 'unready')
  t.equal(
    strict.status(about('no-handshake', { peer: 'A' }), ...down),
    'unready',
    'other reasons do not hide it',
  )
  strict.state.policy = { ...policy, forwards: [], backends: 'unready' }
  t.equal(strict.status(), 'ready', 'an end without forwards has no target to miss')
})

t.test('since holds through an unbroken run, whatever the detail, and starts anew after a break', async t => {
  const { health, state } = end()
  const since = () => health.evaluate().reasons.map(reason => reason.since.slice(17, 19))
  const [a, b] = [about('no-handshake', { peer: 'A' }), about('no-handshake', { peer: 'B' })]
  state.reasons = [a]
  t.same(since(), ['00'])
  state.now += 1000
  state.reasons = [b, { ...a, detail: 'for 1 s' }]
  t.same(since(), ['01', '00'], 'peers apart, order no matter')
  state.now += 1000
  state.reasons = [about('backend-down', { forward: 'http' }), b]
  t.same(since(), ['02', '01'])
  state.now += 1000
  state.reasons = [a, about('backend-down', { forward: 'ssh' }), about('backend-down', { forward: 'http' })]
  t.same(since(), ['03', '03', '02'], 'a broke off; forwards apart')
  t.same(health.evaluate().reasons[1], {
    code: 'backend-down',
    detail: 'seen',
    forward: 'ssh',
    since: '1970-01-01T00:00:03.000Z',
  })
})

t.test('one line for each change of status', async t => {
  const { status, lines } = end()
  status(about('starting'))
  status(about('starting'))
  status(about('draining'), about('draining'))
  status(about('no-handshake', { peer: 'A' }), about('no-handshake', { peer: 'B' }))
  status(about('no-handshake', { peer: 'B' }))
  status()
  status()
  t.same(lines, [
    ['warn', { status: 'unready', codes: ['starting'] }, 'health changed'],
    ['warn', { status: 'degraded', codes: ['no-handshake'] }, 'health changed'],
    ['info', { status: 'ready', codes: [] }, 'health changed'],
  ])
})

t.test('it evaluates itself once a second until it is closed', async t => {
  mock.timers.enable({ apis: ['setInterval'] })
  t.teardown(() => mock.timers.reset())
  const { health, lines, state } = end()
  mock.timers.tick(999)
  t.same(lines, [])
  mock.timers.tick(1)
  t.equal(lines.length, 1)
  state.reasons = [about('draining')]
  health.close()
  mock.timers.tick(5000)
  t.equal(lines.length, 1)
})
