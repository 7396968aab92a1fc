import { mock } from 'node:test'
import t from 'tap'
import { LineLimit } from '../../src/log/line-limit.ts'
import { recordingLog } from '../fixtures/log.ts'

t.test('a flood of one reason: its first lines, and one that counts the others', async t => {
  const { log, lines } = recordingLog()
  const limit = new LineLimit(log, 'connection refused', { forward: 'web' })
  for (let i = 0; i < 100_000; i++) limit.warn('denied', { reason: 'denied', client: `192.0.2.${i % 256}` })
  limit.warn('rate-limit', { reason: 'rate-limit' })
  t.equal(lines.length, 21, 'another reason has lines of its own')
  t.match(lines[0], ['warn', { forward: 'web', reason: 'denied', client: '192.0.2.0' }, 'connection refused'])
  limit.flush()
  const text = 'connection refused: more than lines are written for'
  t.match(lines.slice(21), [['warn', { forward: 'web', more: { denied: 99_980 } }, text]])
  limit.warn('denied', {})
  t.equal(lines.length, 23, 'and then they are written again')
  limit.flush()
  limit.flush()
  t.equal(lines.length, 23, 'nothing was left out')
})

t.test('the count comes by itself, ten seconds after the first line', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { log, lines } = recordingLog()
  const limit = new LineLimit(log, 'link refused')
  for (let i = 0; i < 25; i++) limit.warn('untrusted', { i })
  mock.timers.tick(9999)
  t.equal(lines.length, 20)
  mock.timers.tick(1)
  t.match(lines.slice(20), [['warn', { more: { untrusted: 5 } }, /^link refused: more/]])
  mock.timers.tick(20_000)
  t.equal(lines.length, 21)
})

t.test('one line in a minute, where that is asked for', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { log, lines } = recordingLog()
  const limit = new LineLimit(log, 'datagrams dropped', {}, 1, 60_000)
  for (let i = 0; i < 25; i++) limit.warn('too-big', { i })
  mock.timers.tick(59_999)
  t.equal(lines.length, 1)
  mock.timers.tick(1)
  t.match(lines.slice(1), [['warn', { more: { 'too-big': 24 } }, /^datagrams dropped: more/]])
})
