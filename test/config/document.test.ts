import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import t from 'tap'
import { jsonSchemaText } from '../../scripts/schema.ts'
import { readDocument } from '../../src/config/document.ts'
import { parseDuration } from '../../src/config/field.ts'
import { formatIssue } from '../../src/config/issue.ts'

const lines = (text: string) => readDocument('c.yaml', text).issues.map(formatIssue)

t.test('config.schema.json is what scripts/schema.ts makes', async t => {
  const committed = readFileSync(new URL('../../config.schema.json', import.meta.url), 'utf8')
  t.equal(committed, jsonSchemaText(), 'else run: node scripts/schema.ts')
  const schema = JSON.parse(committed)
  t.equal(schema.$schema, 'http://json-schema.org/draft-07/schema#')
  let objects = 0
  const walk = (node: unknown, path: string): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, properties, additionalProperties } = node as Record<string, unknown>
    if (type === 'object' && properties !== undefined) {
      objects += 1
      t.equal(additionalProperties, false, `${path} is closed`)
      for (const [key, property] of Object.entries(properties as Record<string, { description?: string }>))
        t.ok(property.description, `${path}.${key} has a description`)
    }
    for (const [key, child] of Object.entries(node)) walk(child, `${path}/${key}`)
  }
  walk(schema, '')
  t.equal(objects, 10)
  t.notOk(committed.includes('netstack'), 'netstack is not offered')
})

t.test('durations', async t => {
  t.equal(parseDuration('250ms'), 250)
  t.equal(parseDuration('5s'), 5000)
  t.equal(parseDuration('2m'), 120_000)
  t.equal(parseDuration('576h'), 2_073_600_000)
  t.equal(parseDuration('0s'), 0)
  for (const text of [
    '',
    '5',
    's',
    '-1s',
    '1.5s',
    '05s',
    '5 s',
    '5S',
    '577h',
    '1d',
    '9999999999h',
    '1e3s',
    '5s\n',
  ])
    t.equal(parseDuration(text), undefined, text)
  fc.assert(fc.property(fc.integer({ min: 0, max: 2_073_600_000 }), ms => parseDuration(`${ms}ms`) === ms))
  const drain = (value: string) => lines(`drainTimeout: ${value}`)
  t.same(drain('0s'), [])
  t.match(drain('5'), [/^c.yaml:1:15: error: drainTimeout: found 5; allowed: 0s, or a duration/])
  t.match(lines('forwards: {a: {listen: ":1", target: "x:1", timeouts: {connect: 0s}}}'), [
    /timeouts.connect: found "0s"; allowed: .*more than 0/,
  ])
})

t.test('unknown keys name those that are allowed, and the nearest', async t => {
  t.match(lines('forward: {}\nadmn: {}\nxyzzy: 1'), [
    /^c.yaml:1:1: error: forward: unknown key; did you mean forwards\? allowed: tunnel, forwards, admin/,
    /^c.yaml:2:1: error: admn: unknown key; did you mean admin\?/,
    /^c.yaml:3:1: error: xyzzy: unknown key; allowed: tunnel/,
  ])
  t.match(lines('tunnel: {WGCONF: x}'), [
    /^c.yaml:1:10: error: tunnel.WGCONF: unknown key; did you mean wgConf\?/,
  ])
  t.match(lines(`${'x'.repeat(900)}: 1`)[0], /unknown key; allowed/)
})

t.test('what this version cannot do is refused by name', async t => {
  t.match(lines('link: true'), [/link: found true; allowed: false or a mapping of port/])
  t.match(lines('link: {port: 0}'), [/link.*: found /])
  t.same(lines('link: {port: 9587}'), [])
  t.same(lines('link: false'), [])
  t.match(lines('tunnel: {mode: netstack}'), [
    /tunnel.mode: not supported yet: found "netstack"; leave it out/,
  ])
  t.same(lines('tunnel: {mode: tun, probe: false}'), [])
  for (const key of ['port: 9', 'interval: 5s', 'timeout: 1s']) t.same(lines(`tunnel: {probe: {${key}}}`), [])
  t.match(lines('tunnel: {probe: {port: 0}}'), [
    /tunnel.probe.port: found 0; allowed: a whole number from 1 to/,
  ])
  t.match(lines('tunnel: {probe: {interval: 5}}'), [/tunnel.probe.interval: found 5; allowed: a duration/])
  t.match(lines('tunnel: {probe: [1]}'), [/tunnel.probe: found a list; allowed: false or/])
  t.match(lines('tunnel: {probe: true}'), [/tunnel.probe: found true; allowed: false or a mapping/])
})

t.test('values of the wrong kind', async t => {
  const cases: [text: string, line: RegExp][] = [
    ['hello', /^c.yaml:1:1: error: found "hello"; allowed: a mapping of tunnel, forwards/],
    ['[1]', /^c.yaml:1:1: error: found a list; allowed/],
    ['forwards: [1]', /^c.yaml:1:11: error: forwards: found a list; allowed: a mapping/],
    ['forwards:\n  web:', /^c.yaml:2:7: error: forwards.web: found nothing; allowed: a mapping with listen/],
    [
      'forwards: {"a b": {listen: ":1", target: "x:1"}}',
      /^c.yaml:1:12: error: forwards.a b: found "a b"; allowed: a forward's name/,
    ],
    [
      'forwards: {web: {listen: 80, target: "x:1"}}',
      /^c.yaml:1:26: error: forwards.web.listen: found 80; allowed: host:port/,
    ],
    ['forwards: {web: {listen: ":0", target: "x:1"}}', /forwards.web.listen: found ":0"/],
    [
      'forwards: {web: {listen: ":1", target: "x y:1"}}',
      /forwards.web.target: found "x y:1"; allowed: host:port/,
    ],
    ['tunnel: {mtu: 1e30}', /^c.yaml:1:15: error: tunnel.mtu: found 1e\+30; allowed: a whole/],
    ['tunnel: {mtu: 99999999999999999999999}', /tunnel.mtu: found 1e\+23/],
    ['tunnel: {mtu: .nan}', /tunnel.mtu: found NaN/],
    ['tunnel: {mtu: 1420.5}', /tunnel.mtu: found 1420.5/],
    ['tunnel: {wgConf: ""}', /tunnel.wgConf: found nothing; allowed: a path/],
    ['tunnel: {interface: a/b}', /tunnel.interface: found "a\/b"; allowed: 1 to 15/],
    ['tunnel: {interface: ..}', /tunnel.interface/],
    ['tunnel: {interface: "wg%d"}', /tunnel.interface/],
    ['tunnel: {interface: sixteen-letters-}', /tunnel.interface/],
    ['tunnel: {congestionControl: "a b"}', /tunnel.congestionControl: found "a b"; allowed: kernel, or/],
    ['log: {connections: "yes"}', /log.connections: found "yes"; allowed: true or false/],
    ['readiness: {backends: ready}', /readiness.backends: found "ready"; allowed: degraded, unready/],
    ['admin: {page: none}', /admin.page: found "none"; allowed: loopback, all/],
    [`log: {level: ${'x'.repeat(500)}}`, /found "x{60}…"; allowed/],
  ]
  for (const [text, line] of cases) {
    const issues = lines(text)
    t.match(issues, [line], text.slice(0, 60))
    t.equal(issues.length, 1)
  }
})

t.test('YAML that is none, or is hostile', async t => {
  t.match(lines(''), [/^c.yaml: error: the file is empty; write at least/])
  t.match(lines('# only a comment\n'), [/the file is empty/])
  t.match(lines('log: {}\nlog: {}'), [/^c.yaml:2:1: error: Map keys must be unique/])
  t.match(lines('log:\n\tlevel: info'), [/^c.yaml:2:1: error: .*[Tt]ab/])
  t.match(lines('a: ['), [/^c.yaml:1:\d: error: /])
  t.match(lines('log: {}\n---\nlog: {}'), [/multiple documents/])
  t.match(lines('log: !exec {level: info}'), [/^c.yaml:1:6: error: Unresolved tag: !exec/])
  t.match(lines('log: !!js/function "x"'), [/Unresolved tag/])
  t.match(lines('log: *nowhere'), [/Unresolved alias/])
  const laughs = [
    'a: &a [x,x,x,x,x,x,x,x,x]',
    ...'bcdefghi'.split('').map((c, i) => {
      const before = 'abcdefgh'[i]
      return `${c}: &${c} [${Array(9).fill(`*${before}`).join(',')}]`
    }),
  ].join('\n')
  t.match(lines(laughs), [/Excessive alias count/])
  t.equal(lines(`log: ${'['.repeat(50_000)}${']'.repeat(50_000)}`).length, 1, 'nested too deep')
  t.equal(lines('['.repeat(100)).length, 10, 'not one for every bracket')
  t.match(lines(`log: ${' '.repeat(1 << 20)}{}`), [/^c.yaml: error: found more than 1 MiB/])
  t.match(
    lines('__proto__: {log: {}}\nconstructor: 1\nforwards: {__proto__: {}, constructor: {}, toString: 1}'),
    [
      /^c.yaml:1:1: error: __proto__: unknown key/,
      /^c.yaml:2:1: error: constructor: unknown key/,
      /^c.yaml:3:12: error: forwards.__proto__: found "__proto__"; allowed: a forward's name/,
      /^c.yaml:3:27: error: forwards.constructor: found "constructor"; allowed/,
      /^c.yaml:3:\d+: error: forwards.toString: found 1; allowed: a mapping/,
    ],
  )
  t.equal(({} as { log?: unknown }).log, undefined, 'no prototype was touched')
  t.notOk(
    lines('tunnel:\n  privateKey: "c2VjcmV0\n').join().includes('c2Vj'),
    'a secret on a broken line is not quoted',
  )
})

t.test('anchors, BOM and CRLF', async t => {
  const text =
    'forwards:\n  a: &a {listen: ":1", target: "x:1", timeouts: &t {idle: 1s}}\n  b: {listen: ":2", target: "x:1", timeouts: *t}\n'
  t.same(lines(text), [])
  t.same(lines(`\uFEFF${text.replaceAll('\n', '\r\n')}`), [])
  t.match(lines(text.replace('1s', '1x')), [
    /^c.yaml:2:59: error: forwards.a.timeouts.idle/,
    /^c.yaml:2:59: error: forwards.b.timeouts.idle/,
  ])
  t.match(lines('log: {}\r\nfoo: 1\r\n'), [/^c.yaml:2:1: error: foo/])
})

t.test('any YAML is read without an exception', async () => {
  fc.assert(fc.property(fc.string(), text => Array.isArray(lines(text))))
  fc.assert(fc.property(fc.json(), text => Array.isArray(lines(text))))
  const tree = fc.dictionary(
    fc.constantFrom('tunnel', 'forwards', 'admin', 'log', 'probe', 'addresses', 'x'),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(tree, value =>
      Array.isArray(lines(JSON.stringify({ tunnel: value, forwards: value, ...value }))),
    ),
  )
})

t.test('what the chart would read otherwise is a warning, at its place', async t => {
  const forward = (keys: string) => lines(`forwards:\n  web: { listen: ":1", target: "x:1", ${keys} }`)
  t.match(forward('allow: [::1, ::/0]'), [
    'c.yaml:2:47: warning: forwards.web.allow: found ::1, which Helm does not read in values of the chart; write "::1"',
    'c.yaml:2:52: warning: forwards.web.allow: found ::/0, which Helm does not read in',
  ])
  t.match(forward('maxConnections: 0420'), [
    'c.yaml:2:55: warning: forwards.web.maxConnections: found 0420, which Helm reads as 272 in values of the chart; write 420',
  ])
  t.match(
    lines('forwards:\n  on: { listen: :80, target: "x:1" }\n  1_000: { listen: ":81", target: "x:1" }'),
    [
      'c.yaml:2:3: warning: forwards.on: found on, which Helm reads as true in values of the chart; write "on"',
      'c.yaml:2:17: warning: forwards.on.listen: found :80, which Helm does not read in values',
      'c.yaml:3:3: warning: forwards.1_000: found 1_000, which Helm reads as 1000 in values',
    ],
  )
  for (const same of [
    'allow: ["::1", 2001:db8::/32]',
    'maxConnections: 1e3',
    'newConnectionsPerSecond: 0x10',
  ])
    t.same(forward(same), [], same)
  t.same(lines('forwards:\n  web:\n    listen: :80\n    target: x:1\n    allow:\n      - ::1'), [])
  t.match(
    forward('acceptProxy: on'),
    [/error: forwards.web.acceptProxy: found "on"; allowed/],
    'an error is enough',
  )
  t.equal(forward('acceptProxy: on').length, 1)
  const secret = 'q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83v\\/jRWeJA='
  const quoted = lines(`tunnel: { wgConf: a, stateDir: "${secret}" }`)
  t.match(quoted, [/warning: tunnel.stateDir: found \\\/ in quotes, which Helm refuses .*; write \/ alone/])
  t.notMatch(quoted.join(), 'q83v')
})
