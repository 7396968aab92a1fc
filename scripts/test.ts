/**
 * Runs the test files under tap: a line per file while they run, failed assertions whole, the coverage of src/, each
 * failed test by file and name once more and, last, the counts. Arguments name checks that failed before; each counts as
 * a failure.
 *
 * tap's own reporters redraw the screen even where there is none, and its coverage knows nothing of a bundle.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { readCoverage } from './coverage.ts'

const tapFile = '.tap/tests.tap'
const programCoverage = resolve('.tap/program')
/** Percent of the lines of src/. */
const coverageFloor = 95

/** What failed beside assertions. */
const failures = process.argv.slice(2)
/** File and name of each failed assertion. */
const failedTests = new Set<string>()
const suites: Record<string, string> = {
  short: 'test/**/*.test.ts',
  full: 'test/**/*.{test,full}.ts',
  cluster: 'test/**/*.cluster.ts',
}
/**
 * Most of the full ones wait, for minutes: for a tunnel to be given up, for a container to end. What is excluded are short
 * forms of what is run whole.
 */
const fullOptions = ['--jobs=5', '--exclude=test/load/{gateways,rolling,silent-clients}.test.ts']
const suite = process.env.WG_PUNCHHOLE_TEST ?? 'short'
const counts = await runTests(suites[suite]!)
if (suite !== 'cluster') await checkCoverage()
for (const failure of [...failedTests, ...failures]) console.log(`FAIL  ${failure}`)
const failed = counts.fail + failures.length
console.log(
  `${counts.pass} passed, ${failed} failed${counts.skip + counts.todo > 0 ? `, ${counts.skip + counts.todo} skipped` : ''}`,
)
process.exitCode = failed === 0 ? 0 : 1

async function runTests(include: string) {
  rmSync(programCoverage, { recursive: true, force: true })
  mkdirSync(programCoverage, { recursive: true })
  const options = ['--reporter=tap', '--coverage-report=none', ...(suite === 'full' ? fullOptions : [])]
  const tap = spawn('tap', ['run', ...options, `--include=${include}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, WG_PUNCHHOLE_COVERAGE: programCoverage },
  })
  const exit = once(tap, 'close')
  const counts = { total: 0, pass: 0, fail: 0, skip: 0, todo: 0 }
  const lines: string[] = []
  const report = progress()
  for await (const line of createInterface({ input: tap.stdout })) {
    lines.push(line)
    report(line)
    for (const [, name, count] of summary(line)) counts[name as keyof typeof counts] = Number(count)
    if (line.startsWith('Bail out!') && !failures.includes(line)) failures.push(line)
  }
  const [code, signal] = await exit
  writeFileSync(tapFile, `${lines.join('\n')}\n`)
  if (counts.total === 0) failures.push('no test ran')
  else if (code !== 0 && counts.fail === 0 && failures.length === 0)
    failures.push(`tap ended with ${signal ?? code}`)
  return counts
}

/** The fields of tap's last line, `# { total: 7, pass: 4, fail: 2, skip: 1 }`. */
function summary(line: string) {
  return line.startsWith('# { total: ') ? line.matchAll(/(\w+): (\d+)/g) : []
}

/** Returns a reader of TAP lines that prints each file as it ends, below it what failed or was skipped in it. */
function progress() {
  const path: string[] = []
  const details: string[] = []
  let anyFailed = false
  let assertions = 0
  let diagnostic: { end: string; show: boolean } | undefined
  let last = { indent: 0, show: false }

  return (line: string) => {
    const text = line.trimStart()
    const indent = line.length - text.length
    const depth = depthOf(indent)
    if (diagnostic !== undefined) {
      if (line === diagnostic.end) diagnostic = undefined
      else if (diagnostic.show && depthOf(last.indent) > 0) details.push(`      ${line.slice(last.indent)}`)
      else if (diagnostic.show) console.log(`      ${line}`)
    } else if (text === '---' && indent === last.indent + 2) {
      diagnostic = { end: `${' '.repeat(indent)}...`, show: last.show }
    } else if (text.startsWith('# Subtest: ')) {
      path.splice(depth, path.length, text.slice('# Subtest: '.length))
    } else {
      const result = /^(not )?ok \d+(?: - (.*?))?(?: # (time=.*?|skip.*|todo.*))?(?: \{)?$/i.exec(text)
      if (result === null) return
      const [, not, name = '', directive = ''] = result
      const failed = not !== undefined && !/^todo/i.test(directive)
      if (depth === 0) endFile(name, failed, directive)
      else endTest([...path.slice(0, depth), name].join(' > '), failed, directive)
      last = { indent, show: failed && (depth === 0 ? !anyFailed : !directive.startsWith('time=')) }
      if (depth === 0) {
        anyFailed = false
        assertions = 0
      }
    }
  }

  function endFile(name: string, failed: boolean, directive: string) {
    const end = directive.startsWith('time=')
      ? `${Math.round(Number.parseFloat(directive.slice(5)))} ms`
      : directive
    console.log(`${failed ? 'FAIL' : 'ok  '}  ${name}  ${end}`)
    for (const detail of details.splice(0)) console.log(detail)
    // tap counts assertions, and counts a file only when it has none: not one that is killed after its first.
    if (failed && !anyFailed && assertions > 0) failures.push(`${name} did not end well`)
    if (directive === 'SKIP no tests found') failures.push(`${name} has no tests`)
  }

  function endTest(name: string, failed: boolean, directive: string) {
    // A subtest has a time; what failed in it was shown already.
    if (directive.startsWith('time=')) return
    anyFailed ||= failed
    assertions += 1
    if (failed) {
      details.push(`      failed: ${name}`)
      failedTests.add(name)
    } else if (directive !== '') details.push(`      ${name}: ${directive}`)
  }

  function depthOf(indent: number) {
    return Math.floor(indent / 4)
  }
}

/** What the tests' own processes ran of src/, and what the built program did that they started. */
async function checkCoverage() {
  const files = await readCoverage(['.tap/coverage', programCoverage])
  const sum = (key: 'total' | 'covered') => files.reduce((sum, file) => sum + file[key], 0)
  const reached = (100 * sum('covered')) / sum('total')
  const verdict = `coverage ${reached.toFixed(1)} % of the lines of src/, floor ${coverageFloor} %`
  for (const { path, total, covered } of files) {
    const percent = (100 * covered) / total
    if (percent < coverageFloor) console.log(`      ${path} ${percent.toFixed(1)} %`)
  }
  if (reached < coverageFloor) failures.push(verdict)
  else console.log(`ok    ${verdict}`)
}
