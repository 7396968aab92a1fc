import t from 'tap'
import { Pace } from '../../src/link/pace.ts'

/** Feeds `rate` bytes per millisecond and the round trip, every 100 ms. */
function run(pace: Pace, from: number, ms: number, rate: number, roundTrip: number, isShared = true): number {
  let now = from
  for (; now < from + ms; now += 100) {
    pace.delivered(rate * 100)
    pace.answered(roundTrip, now)
    pace.sample(now, isShared)
  }
  return now
}

t.test('a short path: as many as it needs, fewer while others would queue behind them', async t => {
  const pace = new Pace()
  t.equal(pace.window, 1 << 20)
  let now = run(pace, 1000, 1000, 100_000, 0.5, true)
  t.equal(pace.window, 1 << 20)
  now = run(pace, now, 1000, 100_000, 0.5, false)
  t.equal(pace.window, 4 << 20)
})

t.test('a long path: twice what it holds, and never more than the most', async t => {
  const pace = new Pace()
  run(pace, 1000, 1000, 50_000, 40)
  t.ok(Math.abs(pace.window - 2 * 50_000 * 40) < 1000, `${pace.window}`)
  run(pace, 3000, 1000, 500_000, 200)
  t.equal(pace.window, 32 << 20)
})

t.test(
  'queues do not count as delay, and the shortest round trip is looked for with half the window',
  async t => {
    const pace = new Pace()
    let now = run(pace, 1000, 1000, 50_000, 40)
    const window = pace.window
    now = run(pace, now, 9000, 50_000, 400)
    t.equal(pace.window, window)
    now = run(pace, now, 1000, 50_000, 60)
    t.equal(pace.window, window / 2)
    run(pace, now, 1200, 50_000, 60)
    t.ok(Math.abs(pace.window - 2 * 50_000 * 60) < 1000, `the path has become longer: ${pace.window}`)
  },
)
