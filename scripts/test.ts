/**
 * Runs the test files under tap: a line per file while they run, failed assertions whole, the coverage of src/ and,
 * last, the counts. Arguments name checks that failed before; each counts as a failure.
 *
 * tap's own reporters redraw the screen even where there is none, and its coverage leaves out files that no test loads.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { createInterface } from 'node:readline'

const tapFile = '.tap/tests.tap'
const coverageFile = '.tap/report/coverage-summary.json'
/** Percent of the lines of src/. */
const coverageFloor = 95

const failures = process.argv.slice(2)
const suites: Record<string, string> = {
  short: 'test/**/*.test.ts',
  full: 'test/**/*.{test,full}.ts',
  cluster: 'test/**/*.cluster.ts',
}
const suite = process.env.WG_PUNCHHOLE_TEST ?? 'short'
const counts = await runTests(suites[suite]!)
if (suite !== 'cluster') checkCoverage()
for (const failure of failures) console.log(`FAIL  ${failure}`)
const failed = counts.fail + failures.length
console.log(
  `${counts.pass} passed, ${failed} failed${counts.skip + counts.todo > 0 ? `, ${counts.skip + counts.todo} skipped` : ''}`,
)
process.exitCode = failed === 0 ? 0 : 1

async function runTests(include: string) {
  rmSync(coverageFile, { force: true })
  const options = ['--reporter=tap', '--coverage-report=json-summary', '--allow-incomplete-coverage']
  const tap = spawn('tap', ['run', ...options, `--include=${include}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
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
    if (failed) details.push(`      failed: ${name}`)
    else if (directive !== '') details.push(`      ${name}: ${directive}`)
  }

  function depthOf(indent: number) {
    return Math.floor(indent / 4)
  }
}

/** A file that no test loads has no coverage: all its lines count as missed, unless it declares only types. */
function checkCoverage() {
  const { total, ...files } = readCoverage()
  const lines = Object.entries(files).map(([path, { lines }]) => ({ path: relative('.', path), ...lines }))
  for (const path of globSync('src/**/*.ts')) {
    const text = readFileSync(path, 'utf8')
    if (
      lines.some(file => file.path === path) ||
      !/^(export )?(default )?(async )?(const|let|function|class)\b/m.test(text)
    )
      continue
    lines.push({ path, total: text.split('\n').length, covered: 0 })
  }
  const percent = (covered: number, total: number) => (total === 0 ? 100 : (100 * covered) / total)
  const sum = (key: 'total' | 'covered') => lines.reduce((sum, file) => sum + file[key], 0)
  const reached = percent(sum('covered'), sum('total'))
  const verdict = `coverage ${reached.toFixed(1)} % of the lines of src/, floor ${coverageFloor} %`
  for (const file of lines) {
    const filePercent = percent(file.covered, file.total)
    if (filePercent < coverageFloor) console.log(`      ${file.path} ${filePercent.toFixed(1)} %`)
  }
  if (reached < coverageFloor) failures.push(verdict)
  else console.log(`ok    ${verdict}`)
}

function readCoverage(): Record<string, { lines: { total: number; covered: number } }> {
  return existsSync(coverageFile) ? JSON.parse(readFileSync(coverageFile, 'utf8')) : {}
}
