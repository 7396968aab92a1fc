import { globSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { type Document, parseDocument } from 'yaml'
import { helmReadings } from '../../src/config/helm-yaml.ts'
import { helmWith, read, root, skip } from './helm.ts'

/**
 * One YAML, two readers: what Helm reads otherwise in the chart's values than this program in its config is warned of,
 * and nothing else is. Helm itself is asked, with a chart that prints its values as JSON.
 */

const places = {
  block: (text: string) => `v: ${text}`,
  list: (text: string) => `- ${text}`,
  flow: (text: string) => `{ v: ${text} }`,
  sequence: (text: string) => `[${text}, 1]`,
  key: (text: string) => `${text}: 1`,
  'key in flow': (text: string) => `{ ${text}: 1 }`,
}
type Place = keyof typeof places

interface Case {
  readonly text: string
  readonly place: Place
}

const everywhere = Object.keys(places) as Place[]
const cases = (texts: readonly string[], where: readonly Place[] = everywhere): Case[] =>
  texts.flatMap(text => where.map(place => ({ text, place })))

/** As a value of x, in a mapping or a list of its own. */
function valuesOf({ text, place }: Case, name: string): string {
  return `${name}:\n    ${places[place](text)}`
}

function chartThatPrints(t: Test): string {
  return t.testdir({
    'Chart.yaml': 'apiVersion: v2\nname: print\nversion: 1.0.0\n',
    templates: { 'x.yaml': 'x: {{ toJson .Values.x | b64enc }}\n' },
  })
}

/** What Helm reads in each, `undefined` where it refuses the file. */
async function readByHelm(chart: string, list: readonly Case[]): Promise<unknown[] | undefined> {
  const values = `x:\n${list.map((one, index) => `  ${valuesOf(one, `c${index}`)}\n`).join('')}`
  const { status, stdout } = await helmWith(values, 'template', 'home', chart, '--values', '-')
  if (status !== 0) return undefined
  const [, encoded = ''] = /^x: (.*)$/m.exec(stdout) ?? []
  const read = JSON.parse(Buffer.from(encoded, 'base64').toString())
  return list.map((_, index) => read[`c${index}`])
}

const readings = (document: Document, text: string) => helmReadings(document, text, 1, () => true).first

function readHere(one: Case): { value: unknown; warned: boolean } {
  const text = valuesOf(one, 'x')
  const document = parseDocument(text)
  if (document.errors.length > 0) throw document.errors[0]
  return { value: document.toJS().x, warned: readings(document, text).length > 0 }
}

const name = ({ text, place }: Case) => `${JSON.stringify(text)} as ${place}`

async function compare(t: Test, list: readonly Case[]): Promise<void> {
  const chart = chartThatPrints(t)
  const there = await readByHelm(chart, list)
  t.ok(there !== undefined, 'Helm reads all of them')
  for (const [index, one] of list.entries()) {
    const { value, warned } = readHere(one)
    const same = JSON.stringify(there?.[index]) === JSON.stringify(value)
    t.equal(
      warned,
      !same,
      `${name(one)}: ${JSON.stringify(there?.[index])} there, ${JSON.stringify(value)} here`,
    )
  }
}

t.test('what Helm reads as something else is warned of, nothing else is', { skip }, t =>
  compare(t, [
    ...cases(['y', 'N', 'yes', 'No', 'on', 'ON', 'off', 'Off', 'true', 'False', 'tRUE', 'nO', 'nULL']),
    ...cases([
      '0420',
      '-0420',
      '007',
      '00',
      '08',
      '018',
      '0o17',
      '0O17',
      '0x1f',
      '0X1F',
      '-0x1f',
      '0b101',
      '-0b1',
      '0b2',
    ]),
    ...cases(['1_000', '1__0', '1_', '_1', '0_8', '0777_', '0x1_0', '1_0.5', '1_000ms', '-1_000']),
    ...cases(['1e3', '1E+3', '+1', '-1', '.5', '5.', '1.10', '+.5', '1_e3', '1e', 'e1', '.', '1.2.3.4']),
    ...cases(['1:30', '190:20:30', '2001-01-01', '2001-01-01T00:00:00Z', '30s', 'v1', '10.0.0.0/8']),
    ...cases([
      'tunnel:80',
      'web:80',
      '2001:db8::1',
      'fd00::/64',
      '"::1"',
      "'::1'",
      '":8080"',
      '"on"',
      "'0420'",
      '"1_000"',
    ]),
    ...cases(['"*.example.com"', 'a#b', 'é', '=', '-a', '"a\\u0041"', '"a\\\\/b"', "'a\\/b'"]),
    ...cases(['::1', '::/0', ':8080', '?a', 'a?b'], ['block', 'list', 'key']),
    ...cases(['~', 'null', 'Null', '1e400', '9007199254740993'], ['block', 'list', 'flow', 'sequence']),
  ]),
)

t.test('what Helm refuses is warned of', { skip, jobs: 2 }, async t => {
  const chart = chartThatPrints(t)
  const refused = [
    ...cases(['::1', '::/0', ':8080'], ['flow', 'sequence', 'key in flow']),
    ...cases(['a?b'], ['flow', 'sequence']),
    ...cases(['.inf', '-.INF', '.NaN'], ['block', 'sequence']),
    ...cases(['~', 'null'], ['key', 'key in flow']),
    ...cases(['"a\\/b"'], ['block', 'key in flow']),
  ]
  for (const one of refused)
    t.test(name(one), async t => {
      t.equal(await readByHelm(chart, [one]), undefined)
      t.ok(readHere(one).warned)
    })
})

t.test('whatever looks like a number', { skip }, async t => {
  const text = fc.stringMatching(/^[-+.]?[0-9][0-9a-fxXbBoOeE_.]{0,7}$/)
  const texts = new Set(fc.sample(text, 400))
  await compare(t, cases([...texts], ['block', 'sequence']))
})

t.test('what Helm writes into the ConfigMap is read here as it was given', { skip }, async t => {
  const chart = t.testdir({
    'Chart.yaml': 'apiVersion: v2\nname: write\nversion: 1.0.0\n',
    templates: { 'x.yaml': 'data:\n  config.yaml: |\n    {{- toYaml .Values.x | nindent 4 }}\n' },
  })
  const words = '::1 ::/0 :8080 on y No ~ null 0420 1_000 0x1f 0o17 0b1 .inf = 1:30 2001-01-01 1e3'.split(' ')
  const odd = [
    '',
    ' ',
    'a: b',
    'a #b',
    '- a',
    '*a',
    '&a',
    '!a',
    '%a',
    '@a',
    '`a',
    'a\nb',
    '\t',
    'é',
    '"',
    "'",
  ]
  // Helm writes what is too large for a number, such as 1e999, as the text that it is; here it is infinite.
  const numbers = fc
    .sample(fc.stringMatching(/^[-+.]?[0-9][0-9a-fxXbBoOeE_.]{0,7}$/), 200)
    .filter(text => Math.abs(Number(text)) !== Infinity)
  const texts = [...words, ...odd, ...numbers]
  const x = {
    list: [...texts, 420, 1_000_000, 65_535, true],
    keys: Object.fromEntries(texts.map(text => [`k${text}`, text])),
  }
  const { status, stdout, stderr } = await helmWith(
    JSON.stringify({ x }),
    'template',
    'home',
    chart,
    '--values',
    '-',
  )
  t.equal(status, 0, stderr)
  t.same(parseDocument(parseDocument(stdout).toJS().data['config.yaml']).toJS(), x)
})

t.test('what the documents show means the same to both', async t => {
  let count = 0
  for (const file of ['README.md', ...globSync('{docs,chart}/*.md', { cwd: root })])
    for (const [, text = ''] of read(file).matchAll(/^```yaml\n(.*?)^```$/gms)) {
      count++
      t.same(readings(parseDocument(text), text), [], file)
    }
  t.ok(count >= 9)
  for (const file of globSync('{docs,chart}/*.yaml', { cwd: root })) {
    const text = readFileSync(`${root}${file}`, 'utf8').replace(/^# {2,3}(?=\S+:( |$))/gm, '')
    t.same(readings(parseDocument(text), text), [], file)
  }
})
