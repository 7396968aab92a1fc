import t from 'tap'
import { backoff, jittered } from '../../src/tunnel/backoff.ts'

t.test('doubles up to its bound', async t => {
  t.strictSame(
    [0, 1, 2, 6, 7, 5000].map(attempt => backoff(attempt, 100, 10_000)),
    [100, 200, 400, 6400, 10_000, 10_000],
  )
})

t.test('jitter takes away at most a half', async t => {
  t.equal(
    jittered(1000, () => 0),
    500,
  )
  t.equal(
    jittered(1000, () => 1),
    1000,
  )
  for (let i = 0; i < 100; i++) t.ok(Math.abs(jittered(1000) - 750) <= 250)
})
