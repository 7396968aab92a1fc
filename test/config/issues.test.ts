import fc from 'fast-check'
import t from 'tap'
import { formatIssue, type Issue, listed, type Severity, shortened } from '../../src/config/issue.ts'
import { formatShown, Issues, mostShown } from '../../src/config/issues.ts'

const issue = (severity: Severity, line: number, column: number, file = 'a'): Issue => ({
  severity,
  file,
  line,
  column,
  message: 'm',
})
const shuffled = fc.array(
  fc.record({
    severity: fc.constantFrom<Severity>('error', 'warning'),
    line: fc.integer({ min: 0, max: 9 }),
    column: fc.integer({ min: 1, max: 9 }),
    file: fc.constantFrom('a', 'b'),
  }),
  { maxLength: 3000, size: 'max' },
)

t.test(
  'the first ones in the order of the files, however many there are and in whatever order they come',
  async () => {
    fc.assert(
      fc.property(shuffled, list => {
        const issues = new Issues('b')
        for (const { severity, line, column, file } of list) issues.add(issue(severity, line, column, file))
        const { issues: kept, more } = issues.shown()
        const lineOf = ({ line }: { line: number }) => line || 10
        const sorted = list.toSorted(
          (a, b) => b.file.localeCompare(a.file) || lineOf(a) - lineOf(b) || a.column - b.column,
        )
        return (['error', 'warning'] as const).every(severity => {
          const all = sorted.filter(one => one.severity === severity)
          const places = (some: readonly { file: string; line: number; column: number }[]) =>
            some.map(({ file, line, column }) => `${file} ${line} ${column}`).join()
          return (
            places(kept.filter(one => one.severity === severity)) === places(all.slice(0, mostShown)) &&
            more[severity] === Math.max(0, all.length - mostShown) &&
            issues.hasErrors === list.some(one => one.severity === 'error')
          )
        })
      }),
      { numRuns: 20 },
    )
  },
)

t.test('what is not shown is counted', async t => {
  const issues = new Issues('a')
  for (let line = 1; line <= mostShown + 1; line++) issues.add(issue('error', line, 1))
  issues.addAll({ issues: [issue('warning', 1, 1)], more: { error: 2, warning: 1 } })
  const lines = formatShown(issues.shown(), ['error', 'warning'])
  t.equal(lines.length, mostShown + 2)
  t.equal(lines.at(-1), 'and 3 more errors, 1 more warning')
  t.same(formatShown(issues.shown(), ['warning']), ['a:1:1: warning: m', 'and 1 more warning'])
})

t.test('an issue is one line of bounded length', async t => {
  const long = formatIssue({
    ...issue('error', 1, 1),
    key: 'k'.repeat(1e5),
    message: `a\n${'m'.repeat(1e6)}`,
  })
  t.ok(long.length < 1000)
  t.match(long, /^a:1:1: error: k+…: a\?m+…$/)
  t.equal(shortened('abc', 3), 'abc')
  t.equal(shortened('abcd', 3), 'abc…')
  t.equal(listed(['a', 'b'], 2), 'a, b')
  t.equal(listed(['a', 'b', 'c'], 1), 'a and 2 more')
})
