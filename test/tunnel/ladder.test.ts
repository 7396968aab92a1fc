import t from 'tap'
import { Ladder } from '../../src/tunnel/ladder.ts'

/** The rungs that are due from second `from` to second `to` while the path stays dead. */
function climb(ladder: Ladder, from: number, to: number): [second: number, rung: string][] {
  const taken: [number, string][] = []
  for (let second = from; second <= to; second++) {
    const rung = ladder.due(second * 1000)
    if (rung !== undefined) taken.push([second, rung])
  }
  return taken
}

t.test('at once, after 5 s, 15 s and 30 s; then over again, with longer and longer waits', async t => {
  const ladder = new Ladder(() => 1)
  t.strictSame(climb(ladder, 100, 200), [
    [100, 'recreate'],
    [105, 'resolve'],
    [115, 'port'],
    [130, 'restart'],
    [141, 'recreate'],
    [146, 'resolve'],
    [156, 'port'],
    [171, 'restart'],
    [192, 'recreate'],
    [197, 'resolve'],
  ])
})

t.test('the wait is at most 60 s, by chance shorter, and short again after a minute of health', async t => {
  const rests = (ladder: Ladder, from: number) => {
    const seconds = climb(ladder, from, from + 1000)
      .filter(([, rung]) => rung === 'recreate')
      .map(([second]) => second)
    return seconds.slice(1).map((second, i) => second - seconds[i]! - 31)
  }
  t.ok(rests(new Ladder(() => 0), 0).every(rest => rest <= 1))
  const ladder = new Ladder(() => 1)
  t.strictSame(rests(ladder, 0).slice(0, 5), [10, 20, 40, 60, 60])
  ladder.healthy(2_000_000)
  ladder.healthy(2_059_999)
  t.equal(rests(ladder, 2100)[0], 60)
  ladder.healthy(4_000_000)
  ladder.healthy(4_060_000)
  t.equal(rests(ladder, 4100)[0], 10)
})

t.test('a path that was back for less than 10 s goes on where it was', async t => {
  const ladder = new Ladder(() => 1)
  climb(ladder, 0, 4)
  ladder.healthy(4000)
  t.strictSame(climb(ladder, 13, 14), [[13, 'resolve']])
  ladder.healthy(15_000)
  t.strictSame(climb(ladder, 25, 26), [[25, 'recreate']])
})
