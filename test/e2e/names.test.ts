import { join } from 'node:path'
import t from 'tap'
import { Lab } from '../lab/lab.ts'
import { type NameServer, startNameServer } from '../lab/name-server.ts'

/** Names against a name server that the test drives, on a host with a resolv.conf and a hosts file of its own. */
const lab = await Lab.create(`n${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('host')
await lab.etc(host, 'resolv.conf', 'nameserver 127.0.0.1\nsearch a.example b.example\n')
await lab.etc(host, 'hosts', '127.0.0.1 localhost\n::ffff:192.0.2.66 mapped.example\n192.0.2.67 short\n')
const server: NameServer = await startNameServer(host)

/** In one process of the program's own parts, which remembers: `web` of one call is `web` of the next. */
async function resolve(
  name: string,
  options: { refresh?: boolean; lastGood?: boolean; patient?: boolean } = {},
): Promise<string> {
  const module = join(import.meta.dirname, '../../src/names/names.ts')
  return host.run(
    async ({ module, name, options }, { state }) => {
      const { Names } = await import(module)
      const { patient = false } = options
      const key = `names ${patient}`
      // Its own budget is tried once; waiting for silence again and again proves no more.
      if (!state.has(key)) state.set(key, new Names(patient ? {} : { budget: 1000 }))
      const names = state.get(key) as InstanceType<typeof Names>
      return names.resolve(name, options).then(
        (found: string[]) => found.join(' '),
        (error: Error & { code: string }) => `${error.code} ${error.message}`,
      )
    },
    { module, name, options },
  )
}
const anew = (name: string) => resolve(name, { refresh: true })

t.test('A by the search list, AAAA, the hosts file, and a name that is nowhere', async t => {
  await server.say({
    'web.a.example': { A: ['192.0.2.7'] },
    'six.example': { AAAA: ['2001:db8::6'] },
  })
  t.equal(await resolve('web'), '192.0.2.7')
  t.equal(await resolve('six.example'), '2001:db8::6')
  t.equal(await resolve('short.'), '192.0.2.67', 'of the hosts file, the dot is not')
  t.match(await resolve('nowhere.example'), /^UNRESOLVED no address for nowhere\.example \(getaddrinfo/)
})

t.test('a dot at the end is the end of the search', async t => {
  await server.say({ '*.a.example': { A: ['203.0.113.1'] }, 'web.dmz': { A: ['192.0.2.8'] } })
  await server.asked()
  t.equal(await resolve('web.dmz.'), '192.0.2.8')
  t.same((await server.asked()).sort(), ['A web.dmz', 'AAAA web.dmz'])
  await server.say({ '*.a.example': { A: ['203.0.113.1'] } })
  t.match(await resolve('gone.dmz.'), /^UNRESOLVED/, 'not even by getaddrinfo')
})

t.test('mapped addresses are un-mapped, whoever gave them', async t => {
  await server.say({ 'four.example': { A: ['192.0.2.9'], AAAA: ['::ffff:192.0.2.9', '::ffff:192.0.2.10'] } })
  t.equal(await resolve('mapped.example'), '192.0.2.66')
  t.equal(await resolve('four.example'), '192.0.2.9 192.0.2.10')
  t.equal(await resolve('::ffff:192.0.2.9'), '192.0.2.9')
})

const known = { 'shop.a.example': { A: ['192.0.2.1'], AAAA: ['2001:db8::1'] } }
const other = { 'shop.b.example': { A: ['198.51.100.9'] }, shop: { A: ['198.51.100.10'] } }

for (const failure of ['SERVFAIL', 'REFUSED', 'silence'] as const)
  t.test(`a name that was known, and then ${failure}, stays what it was`, async t => {
    await server.say({ ...known, ...other })
    t.equal(await anew('shop'), '192.0.2.1 2001:db8::1')
    await server.say({ 'shop.a.example': { A: failure, AAAA: failure }, ...other })
    await server.asked()
    t.equal(await anew('shop'), '192.0.2.1 2001:db8::1', 'no client is sent to another service')
    const began = performance.now()
    t.match(await resolve('shop', { refresh: true, lastGood: false }), /^UNRESOLVED .*shop\.a\.example: /)
    t.ok(performance.now() - began < 10_000, 'there is an end to waiting')
    t.same(new Set(await server.asked()), new Set(['A shop.a.example', 'AAAA shop.a.example']))
    await server.say({ 'shop.a.example': { A: failure, AAAA: ['2001:db8::2'] }, ...other })
    t.equal(
      await resolve('shop', { refresh: true, lastGood: false }),
      '192.0.2.1 2001:db8::2',
      'each type by itself',
    )
    await server.say({ 'shop.a.example': { A: ['192.0.2.2'], AAAA: 'NXDOMAIN' }, ...other })
    t.equal(await anew('shop'), '192.0.2.2')
    await server.say({ 'shop.a.example': { AAAA: failure }, ...other })
    t.match(await resolve('shop', { refresh: true, lastGood: false }), /^UNRESOLVED/)
    await server.say({ 'shop.a.example': {}, ...other })
    t.equal(await anew('shop'), '192.0.2.2', 'a name without an address for now is not another one either')
    await server.say(other)
    t.equal(await anew('shop'), '198.51.100.9', 'no such name leads on')
  })

t.test('a name that was never known, and fails, is not another one', async t => {
  await server.say({
    'new.a.example': { A: 'SERVFAIL', AAAA: 'SERVFAIL' },
    'new.b.example': { A: ['198.51.100.9'] },
    '*.b.example': { A: ['198.51.100.9'] },
  })
  t.match(await resolve('new'), /^UNRESOLVED no address for new \(new\.a\.example: SERVFAIL\)$/)
  await server.say({
    'half.a.example': { A: 'NXDOMAIN', AAAA: 'SERVFAIL' },
    'half.b.example': { A: ['198.51.100.9'] },
  })
  t.match(await resolve('half'), /^UNRESOLVED .*half\.a\.example: SERVFAIL/)
})

t.test('name servers that are silent cost one budget, however long the search list is', async t => {
  const domains = ['c', 'd', 'e', 'f', 'g', 'h'].map(letter => `${letter}.example`)
  await lab.etc(host, 'resolv.conf', `nameserver 127.0.0.1\nsearch ${domains.join(' ')}\n`)
  t.teardown(() => lab.etc(host, 'resolv.conf', 'nameserver 127.0.0.1\nsearch a.example b.example\n'))
  // Silent for AAAA alone: each name of the list would have its time-out, were it gone on to.
  await server.say({ '*.example': { A: [], AAAA: 'silence' } })
  await server.asked()
  t.match(await resolve('slow', { patient: true }), /^UNRESOLVED .*slow\.c\.example: no answer/)
  t.same(new Set(await server.asked()), new Set(['A slow.c.example', 'AAAA slow.c.example']))
})

t.test('a silent address does not keep a connection from the next one', async t => {
  const peer = await lab.host('peer')
  await lab.link(host, ['198.51.100.1/24'], peer, ['198.51.100.2/24'])
  await peer.run(async () => {
    const { createServer } = await import('node:net')
    await new Promise<void>(resolve => createServer().listen(7000, '198.51.100.2', resolve))
  })
  // Nobody has 198.51.100.9: the first attempt hears nothing until its neighbour discovery fails, seconds later.
  const file = (name: string) => join(import.meta.dirname, `../../src/${name}.ts`)
  const script = `import { Dial } from '${file('upstream/dial')}'
    import { Descriptors } from '${file('sockets/descriptors')}'
    import { Upstream } from '${file('upstream/upstream')}'
    const resolve = async () => ['198.51.100.9', '198.51.100.2']
    const upstream = new Upstream({ name: 'web', descriptors: new Descriptors(9999), resolve, changed() {} })
    upstream.configure({ targets: [{ host: 'web.example', first: 7000, last: 7000 }], balance: 'first', check: false })
    const dialled = (target, socket) => {
      console.log(socket.remoteAddress, upstream.status().map(({ state, error }) => state + ' ' + error).join(', '))
      process.exit()
    }
    new Dial(upstream, 0, { ways: { shut() {}, astray() {} }, loop() {}, linkTo() {}, dialling() {}, attemptFailed() {}, dialled, dialFailed: console.log }).next()`
  t.equal(
    (await host.exec(process.execPath, '--input-type=module', '--eval', script)).trim(),
    '198.51.100.2 down it was slow to answer, unknown undefined',
    'and is asked last for a while',
  )
})
