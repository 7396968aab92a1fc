import t from 'tap'
import { type Ask, type Known, search } from '../../src/names/search.ts'

type Said = string | readonly (readonly [address: string, ttl: number])[]

/** Name servers that say this: records, or a code of c-ares. What is not there is no such name. */
function servers(said: Record<string, readonly [A: Said, AAAA: Said]>) {
  const asked: string[] = []
  const ask: Ask = async (name, type) => {
    if (asked.at(-1) !== name) asked.push(name)
    const answer = said[name]?.[type === 'A' ? 0 : 1] ?? 'ENOTFOUND'
    if (typeof answer === 'string') throw Object.assign(new Error(`query ${answer}`), { code: answer })
    return answer.map(([address, ttl]) => ({ address, ttl }))
  }
  return { ask, asked }
}

const both = ['web.a', 'web.b']
const a = [['192.0.2.1', 60]] as const
const aaaa = [['2001:db8::1', 30]] as const
const other = [['198.51.100.9', 60]] as const
const known: Known = { name: 'web.a', A: ['192.0.2.7'], AAAA: ['2001:db8::7'] }

t.test('the first name with addresses, for the shorter TTL', async t => {
  const { ask, asked } = servers({ 'web.a': [a, aaaa], 'web.b': [other, 'ENODATA'] })
  t.same(await search(both, undefined, ask), {
    known: { name: 'web.a', A: ['192.0.2.1'], AAAA: ['2001:db8::1'] },
    ttl: 30_000,
    failure: undefined,
  })
  t.same(asked, ['web.a'])
})

t.test('what leads on to the next name, and what does not', async t => {
  const silence = [
    'ESERVFAIL',
    'EREFUSED',
    'ETIMEOUT',
    'ECONNREFUSED',
    'ENOTIMP',
    'EFORMERR',
    'EBADRESP',
    'ECANCELLED',
  ]
  for (const [first, second] of [
    ['ENOTFOUND', 'ENOTFOUND'],
    ['ENODATA', 'ENODATA'],
    ['ENOTFOUND', 'ENODATA'],
    ['EBADNAME', 'EBADNAME'],
    [[], []],
  ] as const) {
    const { ask } = servers({ 'web.a': [first, second], 'web.b': [other, 'ENODATA'] })
    t.equal((await search(both, undefined, ask))?.known.name, 'web.b', `${first} ${second}`)
  }
  for (const failure of silence)
    for (const answers of [
      [failure, failure],
      [failure, 'ENODATA'],
      ['ENODATA', failure],
      // Some servers say "no such name" of the type that they do not know.
      [failure, 'ENOTFOUND'],
      ['ENOTFOUND', failure],
    ] as const)
      for (const before of [undefined, { ...known, name: 'web.b' }]) {
        const { ask, asked } = servers({ 'web.a': answers, 'web.b': [other, 'ENODATA'] })
        await t.rejects(search(both, before, ask), { message: /^web\.a: / }, answers.join(' '))
        t.same(asked, ['web.a'], 'the other service is not asked for')
      }
})

t.test('each type by itself: what fails is as it was known, what is answered is as it is now', async t => {
  const of = async (answers: readonly [Said, Said], before: Known | undefined = known) =>
    search(both, before, servers({ 'web.a': answers, 'web.b': [other, 'ENODATA'] }).ask)
  t.match(await of([a, 'ESERVFAIL']), {
    known: { A: ['192.0.2.1'], AAAA: ['2001:db8::7'] },
    ttl: 10_000,
    failure: undefined,
  })
  t.match(await of(['ETIMEOUT', aaaa]), {
    known: { A: ['192.0.2.7'], AAAA: ['2001:db8::1'] },
    failure: undefined,
  })
  t.match(await of([a, 'ESERVFAIL'], undefined), { known: { A: ['192.0.2.1'], AAAA: [] } })
  t.match(
    await of([a, 'ESERVFAIL'], { ...known, name: 'web.b' }),
    { known: { AAAA: [] } },
    'known of another name',
  )
  t.match(await of([a, 'ENODATA']), { known: { A: ['192.0.2.1'], AAAA: [] }, ttl: 60_000 })
  t.match(await of(['ESERVFAIL', 'ETIMEOUT']), {
    known: { A: ['192.0.2.7'], AAAA: ['2001:db8::7'] },
    failure: 'web.a: SERVFAIL, no answer',
  })
  t.match(await of(['ENODATA', 'ESERVFAIL']), {
    known: { A: [], AAAA: ['2001:db8::7'] },
    failure: 'web.a: SERVFAIL',
  })
  await t.rejects(of(['ENODATA', 'ESERVFAIL'], { ...known, AAAA: [] }), { message: 'web.a: SERVFAIL' })
})

t.test('a name that had addresses and has none now leads nowhere; one that is gone leads on', async t => {
  const empty = servers({ 'web.a': ['ENODATA', 'ENODATA'], 'web.b': [other, 'ENODATA'] })
  await t.rejects(search(both, known, empty.ask), { message: 'web.a: it is there, and has no address now' })
  const gone = servers({ 'web.b': [other, 'ENODATA'] })
  t.equal((await search(both, known, gone.ask))?.known.name, 'web.b')
  t.equal(await search(both, known, servers({}).ask), undefined)
})
