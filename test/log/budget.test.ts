import { mock } from 'node:test'
import t, { type Test } from 'tap'
import { LogBudget } from '../../src/log/budget.ts'
import { recordingLog } from '../fixtures/log.ts'

function budgeted(t: Test) {
  mock.timers.enable({ apis: ['setTimeout', 'Date'], now: Date.UTC(2026, 0, 1) })
  t.teardown(() => mock.timers.reset())
  const { log, lines } = recordingLog()
  return { lines, log: new LogBudget(log) }
}

const leftOut = 'log lines left out: more than are written'

t.test('what flaps: its first lines, and in the end how it is', async t => {
  const { log, lines } = budgeted(t)
  const about = { forward: 'web', target: '10.1.10.2:80' }
  for (let i = 0; i < 50_000; i++) {
    log.warn({ ...about, error: 'by the other end' }, 'target down')
    log.info(about, 'target up')
  }
  t.equal(lines.length, 40)
  mock.timers.tick(9_999)
  t.equal(lines.length, 40)
  mock.timers.tick(1)
  const at = /^2026-01-01T00:00:\d\d\.\d{3}Z$/
  t.equal(lines.length, 43)
  t.match(lines.slice(40), [
    ['warn', { ...about, error: 'by the other end', at }, 'target down'],
    ['info', { ...about, at }, 'target up'],
    ['warn', { lines: { 'target down': 49_979, 'target up': 49_979 } }, leftOut],
  ])
  log.info(about, 'target up')
  t.equal(lines.length, 44, 'and then they are written at once again')
  mock.timers.tick(20_000)
  t.equal(lines.length, 44, 'nothing was left out')
})

t.test('each subject has a last word, and a flood of one message is none of another', async t => {
  const { log, lines } = budgeted(t)
  for (let i = 0; i < 1000; i++)
    for (let peer = 0; peer < 50; peer++) log.warn({ peer, from: 'up', to: `${i}` }, 'path changed')
  t.equal(lines.length, 20)
  log.info({ address: '10.1.10.2' }, 'link up')
  t.match(lines[20], ['info', { address: '10.1.10.2' }, 'link up'])
  log.flush()
  const last = lines.slice(21, 71)
  t.strictSame(
    last.map(([, fields]) => (fields as { peer: number }).peer),
    Array.from({ length: 50 }, (_, peer) => peer),
  )
  t.ok(last.every(([, fields]) => (fields as { to: string }).to === '999'))
  t.match(lines.slice(71), [['warn', { lines: { 'path changed': 50_000 - 20 - 50 } }, leftOut]])
})

t.test('lines about one subject stay in order', async t => {
  const { log, lines } = budgeted(t)
  for (let i = 0; i < 21; i++) log.info({ address: '10.1.10.2', i }, 'link down')
  log.info({ address: '10.1.10.2' }, 'link up')
  log.info({ address: '10.1.10.3' }, 'link up')
  t.match(lines.slice(20), [['info', { address: '10.1.10.3' }, 'link up']])
  log.flush()
  t.match(lines.slice(21), [
    ['info', { i: 20 }, 'link down'],
    ['info', { address: '10.1.10.2' }, 'link up'],
  ])
})

t.test('subjects without number: a hundred are remembered, the others counted', async t => {
  const { log, lines } = budgeted(t)
  for (let i = 0; i < 10_000; i++) log.info({ address: `fd00::${i}` }, 'link up')
  log.flush()
  t.equal(lines.length, 20 + 100 + 1)
  t.match(lines.at(-1), ['warn', { lines: { 'link up': 10_000 - 120 } }, leftOut])
})

t.test('a field that is longer than anybody reads is cut', async t => {
  const { log, lines } = budgeted(t)
  log.warn({ target: 'web', error: 'x'.repeat(1_000_000), port: 80 }, 'target down')
  const [, fields] = lines[0]!
  t.strictSame(fields, { target: 'web', error: `${'x'.repeat(2000)}…`, port: 80 })
})

t.test('one line for each connection or flow, and debug, are for who asks for them', async t => {
  const { log, lines } = budgeted(t)
  for (let i = 0; i < 1000; i++) {
    log.info({ forward: 'web' }, 'connection ended')
    log.info({ forward: 'dns' }, 'flow ended')
    log.debug({ forward: 'web' }, 'check ended')
  }
  t.equal(lines.length, 3000)
})

t.test('what is about the end as a whole has a last word, too', async t => {
  const { log, lines } = budgeted(t)
  for (let i = 0; i < 30; i++) log.error({ status: i }, 'health changed')
  log.info({}, 'draining')
  t.equal(lines.length, 21)
  log.flush()
  t.match(lines.slice(21), [
    ['error', { status: 29 }, 'health changed'],
    ['warn', { lines: { 'health changed': 9 } }, leftOut],
  ])
  t.ok(log.isLevelEnabled('info'))
})
