import fc from 'fast-check'
import t from 'tap'
import { parse } from 'yaml'
import { covers, parseCidr } from '../../src/address.ts'
import { importText } from '../../src/import/import.ts'
import { ServerNames } from '../../src/upstream/server-names.ts'

interface Rule {
  readonly stage: 'connection' | 'session' | 'content'
  readonly action: 'accept' | 'reject'
  readonly condition:
    | { readonly word: string; readonly negated: boolean; readonly prefixes: readonly string[] }
    | undefined
}

const sources = Array.from({ length: 8 }, (_, i) => `192.0.2.${i}`)
const isIn = (prefixes: readonly string[], source: string) =>
  prefixes.some(prefix => covers(parseCidr(prefix)!, source))

/** The first rule of each stage that matches decides, for its stage: section 7 of HAProxy's configuration manual. */
function letsIn(rules: readonly Rule[], source: string): boolean {
  return ['connection', 'session', 'content'].every(stage => {
    const first = rules.find(
      ({ stage: own, condition }) =>
        own === stage && (condition === undefined || isIn(condition.prefixes, source) !== condition.negated),
    )
    return first?.action !== 'reject'
  })
}

/** Two sets, of which each has some of the other. */
const [first, second] = [['192.0.2.0/30'], ['192.0.2.2/31', '192.0.2.4/31']] as const
const conditions: readonly Rule['condition'][] = [
  undefined,
  { word: `if { src ${first.join(' ')} }`, negated: false, prefixes: first },
  { word: `unless { src ${first.join(' ')} }`, negated: true, prefixes: first },
  { word: `if { src ${second.join(' ')} }`, negated: false, prefixes: second },
]

/** Every rule of these stages. */
function rulesOf(...stages: Rule['stage'][]): Rule[] {
  return stages.flatMap(stage =>
    (['accept', 'reject'] as const).flatMap(action =>
      conditions.map(condition => ({ stage, action, condition })),
    ),
  )
}

const inOneStage = rulesOf('connection')
const inAny = rulesOf('connection', 'session', 'content')
/** All that two rules can say, and three of one stage. */
const orders: readonly (readonly Rule[])[] = [
  ...inAny.flatMap(one => inAny.map(two => [one, two])),
  ...inOneStage.flatMap(one => inOneStage.flatMap(two => inOneStage.map(three => [one, two, three]))),
]

t.test('whatever rules are carried over, they let in whom HAProxy lets in', async t => {
  let carried = 0
  const wrong: string[] = []
  for (const rules of orders) {
    const lines = rules.map(
      ({ stage, action, condition }) => ` tcp-request ${stage} ${action} ${condition?.word ?? ''}`,
    )
    const file = ['listen l', ' bind 192.0.2.1:80', ' server s 10.1.10.2', ...lines].join('\n')
    const { yaml } = await importText('h.cfg', file)
    if (yaml === undefined) continue
    carried++
    const { allow, deny = [] } = parse(yaml).forwards.l
    const isSame = sources.every(
      source =>
        letsIn(rules, source) === (!isIn(deny, source) && (allow === undefined || isIn(allow, source))),
    )
    if (!isSame) wrong.push(lines.join('\n'))
  }
  t.same(wrong, [])
  t.ok(carried > orders.length / 3, `${carried} of ${orders.length} are carried over`)
})

const names = [
  'example.com',
  'a.example.com',
  'b.example.com',
  'x.a.example.com',
  'y.x.a.example.com',
  'a.org',
]
const choice = fc.record({
  backend: fc.constantFrom('b', 'c'),
  isEnd: fc.boolean(),
  values: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 2 }),
})

t.test('whatever names are carried over, they lead where HAProxy leads', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(choice, { minLength: 1, maxLength: 5 }), async choices => {
      const lines = choices.map(
        ({ backend, isEnd, values }) =>
          ` use_backend ${backend} if { req.ssl_sni -i ${isEnd ? '-m end ' : ''}${values.map(name => (isEnd ? `.${name}` : name)).join(' ')} }`,
      )
      const file = [
        ...['frontend f', ' bind 192.0.2.1:443', ' default_backend a', ' tcp-request inspect-delay 5s'],
        ...[' tcp-request content accept if { req.ssl_hello_type 1 }', ...lines],
        ...['a', 'b', 'c'].flatMap(name => [`backend ${name}`, ` server s ${name}.test:443`]),
      ].join('\n')
      const { yaml, messages } = await importText('h.cfg', file)
      if (yaml === undefined) throw new Error(messages.join('\n'))
      const { target, routes = {} } = parse(yaml).forwards.f
      const found = new ServerNames<string>(Object.entries(routes))
      return names.every(name => {
        const first = choices.find(({ isEnd, values }) =>
          values.some(value => (isEnd ? name.endsWith(`.${value}`) : name === value)),
        )
        return (found.find(name) ?? target) === `${first?.backend ?? 'a'}.test:443`
      })
    }),
    { numRuns: 200 },
  )
})
