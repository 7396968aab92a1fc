import t from 'tap'
import { EndError } from '../../src/errors.ts'
import { fromHostsFile } from '../../src/names/hosts-file.ts'
import { Names } from '../../src/names/names.ts'
import type { Answer } from '../../src/names/query.ts'
import { candidates as candidatesOf, parseResolvConf } from '../../src/names/resolv-conf.ts'

const candidates = (host: string, text: string) => candidatesOf(host, parseResolvConf(text))

const resolvConf =
  'nameserver 10.96.0.10\nsearch edge.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n'

t.test('the search list, by ndots', async t => {
  t.same(candidates('web.dmz', resolvConf), [
    'web.dmz.edge.svc.cluster.local',
    'web.dmz.svc.cluster.local',
    'web.dmz.cluster.local',
    'web.dmz',
  ])
  t.same(candidates('a.b.c.d.e.f', resolvConf).slice(0, 2), [
    'a.b.c.d.e.f',
    'a.b.c.d.e.f.edge.svc.cluster.local',
  ])
  t.same(candidates('example.com', 'search home.example. .\n'), ['example.com', 'example.com.home.example'])
  t.same(candidates('web', 'domain home.example # mine\noptions rotate ndots:x\n'), [
    'web.home.example',
    'web',
  ])
  t.same(candidates('web.', resolvConf), ['web'])
  t.same(candidates('web', ''), ['web'])
  t.same(
    candidates('web.dmz.', 'search a.example\noptions ndots:15\n'),
    ['web.dmz'],
    'a dot at the end is the end of the search',
  )
  const long = `${'x'.repeat(60)}.`.repeat(4).slice(0, -1)
  t.same(candidates(long, 'search of.no.use.example\noptions ndots:5\n'), [long], 'longer than a name can be')
  t.equal(parseResolvConf('nameserver 192.0.2.1\n').hasServer, true)
  t.equal(parseResolvConf('# nameserver 192.0.2.1\nsearch a\n').hasServer, false)
})

t.test('the hosts file: aliases, comments, case, both families by turns', async t => {
  const hosts =
    '127.0.0.1 localhost\n::1 localhost ip6-localhost\n10.0.0.1 Gateway.Example gw # 10.0.0.2 no\nnonsense gw\n10.0.0.3 gw\n'
  t.same(fromHostsFile(hosts, 'localhost'), ['127.0.0.1', '::1'])
  t.same(fromHostsFile(hosts, 'GW'), ['10.0.0.1', '10.0.0.3'])
  t.same(fromHostsFile(hosts, 'gateway.example'), ['10.0.0.1'])
  t.same(fromHostsFile(hosts, 'no'), [])
  t.same(fromHostsFile(hosts, 'gateway.example.'), ['10.0.0.1'], 'a name with the dot at its end is the same')
  t.same(fromHostsFile('10.0.0.1 web.\n', 'web'), ['10.0.0.1'])
  t.same(
    fromHostsFile('fe80::1%eth0 web\n10.0.0.1 web\n', 'web'),
    ['10.0.0.1'],
    'one with a zone is left out',
  )
})

/** Names on a clock of the test's own, with answers that it gives. */
function names() {
  const state = {
    now: 0,
    queries: [] as string[],
    answer: (): Answer => ({ addresses: ['192.0.2.1'], ttl: 5_000 }),
  }
  const query = async (host: string) => {
    state.queries.push(host)
    return state.answer()
  }
  return { state, names: new Names({ query, now: () => state.now }) }
}

t.test('a literal is its own answer', async t => {
  const { names: n, state } = names()
  t.same(await n.resolve('192.0.2.9'), ['192.0.2.9'])
  t.same(await n.resolve('2001:db8::1'), ['2001:db8::1'])
  t.same(await n.resolve('::ffff:192.0.2.9'), ['192.0.2.9'])
  t.same(state.queries, [])
})

t.test('an answer is kept for its TTL, one second at least, and asked for again on demand', async t => {
  const { names: n, state } = names()
  t.same(await Promise.all([n.resolve('a'), n.resolve('a'), n.resolve('b')]), [
    ['192.0.2.1'],
    ['192.0.2.1'],
    ['192.0.2.1'],
  ])
  t.same(state.queries, ['a', 'b'], 'callers share a query')
  state.now = 4_999
  await n.resolve('a')
  t.equal(state.queries.length, 2)
  state.answer = () => ({ addresses: ['192.0.2.2'], ttl: 0 })
  t.same(await n.resolve('a', { refresh: true }), ['192.0.2.2'])
  state.now += 999
  await n.resolve('a')
  t.equal(state.queries.length, 3)
  state.now += 1
  await n.resolve('a')
  t.equal(state.queries.length, 4)
})

t.test('while DNS fails the last good answer is kept; without one it fails, once a second', async t => {
  const { names: n, state } = names()
  await n.resolve('a')
  state.answer = () => {
    throw new Error('queryA ESERVFAIL a')
  }
  state.now = 5_000
  t.same(await n.resolve('a'), ['192.0.2.1'])
  await t.rejects(n.resolve('new'), {
    code: 'UNRESOLVED',
    message: /no address for new \(queryA ESERVFAIL a\)/,
    fix: /resolv\.conf/,
  })
  await t.rejects(n.resolve('new'), EndError)
  t.same(state.queries, ['a', 'a', 'new'])
  state.now += 1_000
  await t.rejects(n.resolve('new'), EndError)
  t.equal(state.queries.length, 4)
})

t.test('who asks for a new answer gets no other', async t => {
  const { names: n, state } = names()
  const anew = { refresh: true, lastGood: false }
  t.same(await n.resolve('a', anew), ['192.0.2.1'])
  const good = state.answer
  state.answer = () => {
    throw new Error('queryA ESERVFAIL a')
  }
  await t.rejects(n.resolve('a', anew), { code: 'UNRESOLVED', message: /ESERVFAIL/ })
  t.same(await n.resolve('a', { refresh: true }), ['192.0.2.1'])
  state.answer = good
  t.same(await n.resolve('a', anew), ['192.0.2.1'])
})

t.test('who has an old answer does not wait for a name server that hangs', async t => {
  let hang = false
  const gate = Promise.withResolvers<void>()
  let now = 0
  const n = new Names({
    query: async () => {
      if (hang) await gate.promise
      return { addresses: [hang ? '192.0.2.2' : '192.0.2.1'], ttl: 1_000 }
    },
    now: () => now,
  })
  await n.resolve('a')
  hang = true
  now = 1_000
  t.same(await n.resolve('a'), ['192.0.2.1'])
  gate.resolve()
  await gate.promise
  await new Promise(resolve => setImmediate(resolve))
  t.same(await n.resolve('a'), ['192.0.2.2'])
})

t.test('addresses are un-mapped, each once, by turns; what is no address by itself is left out', async t => {
  const { names: n, state } = names()
  state.answer = () => ({
    addresses: ['::ffff:192.0.2.1', '::FFFF:c000:202', '192.0.2.1', '2001:DB8:0::1', 'fe80::1%eth0'],
    ttl: 5_000,
  })
  t.same(await n.resolve('a'), ['192.0.2.1', '2001:db8::1', '192.0.2.2'])
  state.answer = () => ({ addresses: ['fe80::1%eth0'], ttl: 5_000 })
  await t.rejects(n.resolve('b'), { code: 'UNRESOLVED', message: /no address that can be used/ })
})

t.test('an answer of what was known before is none of now, and asked for again in a second', async t => {
  const { names: n, state } = names()
  const known = { name: 'a', A: [], AAAA: ['2001:db8::1'] }
  state.answer = () => ({ addresses: ['2001:db8::1'], ttl: 0, known, failure: 'a: SERVFAIL' })
  t.same(await n.resolve('a'), ['2001:db8::1'])
  await t.rejects(n.resolve('a', { lastGood: false }), { code: 'UNRESOLVED', message: /a \(a: SERVFAIL\)/ })
  state.now = 1_000
  await n.resolve('a')
  t.equal(state.queries.length, 2)
})

t.test('a look-up has a budget of its own, and the next one begins anew', async t => {
  const aborted: boolean[] = []
  const n = new Names({
    budget: 20,
    query: (_, known, signal) =>
      new Promise(resolve => {
        signal.addEventListener('abort', () => {
          aborted.push(true)
          // What was answered in time counts, as that of one record type does.
          if (aborted.length === 2) resolve({ addresses: ['192.0.2.1'], ttl: 0, known })
        })
      }),
  })
  await t.rejects(n.resolve('a'), { code: 'UNRESOLVED', message: /no answer within 20 ms/ })
  t.same(await n.resolve('a', { refresh: true }), ['192.0.2.1'])
  t.same(aborted, [true, true])
})

t.test('no clock that somebody sets is asked', async t => {
  const queries: number[] = []
  let ttl = 4_000
  const n = new Names({ query: async () => ({ addresses: [`192.0.2.${queries.push(ttl)}`], ttl }) })
  const { now } = Date
  const performanceNow = performance.now.bind(performance)
  t.teardown(() => Object.assign(Date, { now }))
  t.teardown(() => Object.assign(performance, { now: performanceNow }))
  await n.resolve('a')
  Object.assign(Date, { now: () => now() - 3_600_000 })
  Object.assign(performance, { now: () => performanceNow() + 4_000 })
  ttl = 60_000
  t.same(await n.resolve('a'), ['192.0.2.2'], 'an hour back, and its time is over all the same')
  Object.assign(Date, { now: () => now() + 3_600_000 })
  t.same(await n.resolve('a'), ['192.0.2.2'], 'an hour ahead, and it holds')
})

t.test('the real hosts file', async t => {
  t.ok((await new Names().resolve('localhost')).includes('127.0.0.1'))
})
