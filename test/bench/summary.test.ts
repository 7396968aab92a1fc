import t from 'tap'
import { type Bar, judge } from '../../bench/bar.ts'
import { report, tableOf } from '../../bench/report.ts'
import { cellOf, median, type Row } from '../../bench/summary.ts'

/** One contender's rounds on the clean network, one value each; a round without a number could not be measured. */
function rowsOf(contender: string, key: string, values: (number | undefined)[]): Row[] {
  return values.map((value, index) => ({
    round: index + 1,
    network: 'clean',
    contender,
    values: value === undefined ? {} : { [key]: value },
  }))
}

const rates = [
  ...rowsOf('haproxy', 'keep.rate', [100, 50, 200]),
  ...rowsOf('ours', 'keep.rate', [150, 100, 220]),
]
const at = { network: 'clean', contender: 'ours', key: 'keep.rate' } as const

t.test('median', async t => {
  t.equal(median([]), undefined)
  t.equal(median([7]), 7)
  t.equal(median([10, 9, 1]), 9, 'sorted as numbers')
  t.equal(median([4, 1, 3, 2]), 2.5)
})

t.test('a ratio is taken within a round', async t => {
  // 1.5, 2 and 1.1; the ratio of the medians would be 1.5 too, had the second round not been a slow one.
  t.same(cellOf(rates, at, 'haproxy'), { median: 150, ratio: 1.5, least: 1.1 })
  const slow = [...rates, ...rowsOf('late', 'keep.rate', [undefined, 100, 100])]
  t.same(cellOf(slow, { ...at, contender: 'late' }, 'haproxy'), { median: 100, ratio: 1.25, least: 0.5 })
})

t.test('the reference has no ratio, and neither has anybody without it', async t => {
  t.same(cellOf(rates, { ...at, contender: 'haproxy' }, 'haproxy'), {
    median: 100,
    ratio: undefined,
    least: undefined,
  })
  t.same(cellOf(rowsOf('ours', 'keep.rate', [5]), at, 'haproxy'), {
    median: 5,
    ratio: undefined,
    least: undefined,
  })
  const zero = [...rowsOf('ours', 'keep.rate', [5]), ...rowsOf('haproxy', 'keep.rate', [0])]
  t.same(cellOf(zero, at, 'haproxy'), { median: 5, ratio: undefined, least: undefined })
})

t.test('what nobody measured is no number', async t => {
  t.equal(cellOf(rates, { ...at, key: 'new.rate' }, 'haproxy'), undefined)
  t.equal(cellOf(rates, { ...at, network: 'lossy' }, 'haproxy'), undefined)
  t.same(tableOf(rates, 'lossy'), [])
})

t.test('table', async t => {
  const rows: Row[] = [
    {
      round: 1,
      network: 'clean',
      contender: 'haproxy',
      realClient: true,
      values: { 'keep.rate': 1000, 'idle.gateway': 2, 'idle.pod': 10 },
    },
    {
      round: 1,
      network: 'clean',
      contender: 'ours',
      realClient: false,
      values: { 'keep.rate': 1234.5, 'idle.gateway': 3, 'idle.pod': 5 },
    },
    { round: 1, network: 'clean', contender: 'frp', values: {}, failure: 'it did not start' },
  ]
  t.same(tableOf(rows, 'clean'), [
    ['', 'haproxy', 'ours', 'frp'],
    ['keep-alive requests, 64 connections, /s', '1000', '1235 (1.23)', '–'],
    ['memory of an idle connection, gateway / pod, kB', '2.00 / 10.0', '3.00 / 5.00 (0.50)', '–'],
    ["backend sees the client's address", 'yes', 'no', '–'],
  ])
})

t.test('what was disturbed is told', async t => {
  const [first, second, ...rest] = rates
  const busy = 'other processes used 0.11 of a processor'
  const rows = [
    { ...first!, disturbance: { sessions: 2, thrown: [busy], kept: [] } },
    { ...second!, disturbance: { sessions: 1, thrown: [], kept: [] } },
    ...rest,
  ]
  t.match(
    report(rows),
    /Thrown away and measured again: 1 of 3\.\n\n- thrown away: haproxy, clean, round 1: other/,
  )
  t.same(tableOf(rows, 'clean')[0], ['', 'haproxy', 'ours'])
  const late = { ...rest.at(-1)!, disturbance: { sessions: 3, thrown: [busy, busy], kept: [busy] } }
  const kept = [...rows.slice(0, -1), late]
  t.match(report(kept), /3 of 6\.[\s\S]*- kept, though disturbed: ours, clean, round 3: other/)
  t.same(tableOf(kept, 'clean')[0], ['', 'haproxy', 'ours (disturbed)'])
  t.notMatch(report(rates), /What else ran/, 'an old file does not say')
})

t.test('bars', async t => {
  const bar: Bar = { title: 'x', network: 'clean', contender: 'ours', keys: ['keep.rate'], of: 'ratio' }
  t.match(judge(rates, { ...bar, atLeast: 1.5 }), { reached: 1.5, good: true }, 'the bar itself is good')
  t.match(judge(rates, { ...bar, atLeast: 1.51 }), { reached: 1.5, good: false })
  t.match(judge(rates, { ...bar, atMost: 1.5 }), { good: true })
  t.match(judge(rates, { ...bar, atMost: 1.49 }), { good: false })
  t.match(judge(rates, { ...bar, of: 'value', atMost: 150 }), { reached: 150, good: true })
  t.match(judge([], { ...bar, atLeast: 1 }), { reached: undefined, good: false })
  const ends = [...rowsOf('ours', 'gateway', [60])].map(row => ({
    ...row,
    values: { gateway: 60, pod: 80 },
  }))
  const memory: Bar = { ...bar, of: 'value', keys: ['gateway', 'pod'], atMost: 75 }
  t.match(judge(ends, memory), { reached: 80, good: false }, 'the worse end counts')
  t.match(judge(rowsOf('ours', 'gateway', [60]), memory), { reached: undefined }, 'so both have to be known')
  t.match(
    judge(rates, { ...bar, of: 'least', atLeast: 1.2 }),
    { reached: 1.1, good: false },
    'its worst round',
  )
  t.match(judge(rates, { ...bar, of: 'least', atLeast: 1.1 }), { reached: 1.1, good: true })
})
