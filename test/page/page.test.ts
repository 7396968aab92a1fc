import { createHash } from 'node:crypto'
import t from 'tap'
import { endStatus } from '../../src/admin/status.ts'
import { wallTime } from '../../src/clock.ts'
import { Events } from '../../src/page/events.ts'
import { History, samples } from '../../src/page/history.ts'
import { statusPage } from '../../src/page/page.ts'
import { contentSecurityPolicy, script, style } from '../../src/page/style.ts'
import { dns, forward, lost, parts, peer, secret, started } from '../admin/sample.ts'
import { recordingLog } from '../fixtures/log.ts'

const now = wallTime(started) + 60_000
const history = new History({ read: () => [], now: () => 0 })
t.teardown(() => history.close())
const page = (changes: object = {}, more: object = {}) =>
  statusPage({ status: { ...endStatus(parts()), ...changes }, history, events: [], now, ...more })

t.test('everything that a person looks for, and no secret', async t => {
  const text = page()
  for (const part of [
    peer.slice(0, 8),
    '198.51.100.7:51820',
    '41 ms',
    '1 %',
    '12 s ago',
    '10.1.10.2/32',
    'ECONNREFUSED',
  ])
    t.ok(text.includes(part), part)
  t.notMatch(text, secret)
  t.notMatch(text, 'undefined')
  t.notMatch(text, /NaN|Infinity|\[object/)
})

t.test('whatever a name, a reason or an event holds is text, never markup', async t => {
  const attack = `"><script>alert(1)</script><img src=x onerror=alert(1)>'&\u202e\u0000`
  const status = endStatus(parts())
  const text = page(
    {
      interface: attack,
      version: attack,
      health: { status: 'degraded', reasons: [{ code: attack, detail: attack, since: status.startedAt }] },
      forwards: status.forwards.map(one => ({
        ...one,
        name: attack,
        listeners: [attack],
        targets: one.targets.map(target => ({ ...target, address: attack, name: attack, error: attack })),
      })),
      tunnel: {
        ...status.tunnel!,
        peers: status.tunnel!.peers.map(one => ({
          ...one,
          publicKey: attack,
          endpoint: attack,
          allowedIps: [attack],
        })),
      },
    },
    { events: [{ first: 0, last: 0, count: 2, tone: 'bad', title: attack, detail: attack }] },
  )
  t.equal(text.split('<script>').length, 2, 'one script, ours')
  t.notMatch(text, '<img')
  t.notMatch(text, /[\u202e\u0000]/)
  t.ok(text.includes('&quot;&gt;&lt;script&gt;'))
})

t.test(
  'one document: nothing is fetched from elsewhere, and only this style and this script may run',
  async t => {
    const text = page()
    t.notMatch(text, /https?:\/\//)
    t.notMatch(text, / style=| on[a-z]+=/)
    const hash = (of: string) => `'sha256-${createHash('sha256').update(of).digest('base64')}'`
    const inside = (tag: string) => new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(text)![1]!
    t.equal(inside('style'), style)
    t.equal(inside('script'), script)
    t.ok(contentSecurityPolicy.startsWith("default-src 'none'; "))
    t.ok(contentSecurityPolicy.includes(`style-src ${hash(inside('style'))}`))
    t.ok(contentSecurityPolicy.includes(`script-src ${hash(inside('script'))}`))
    t.notMatch(contentSecurityPolicy, /unsafe/)
  },
)

t.test('the path begins with the tunnel where this end is called through it', async t => {
  const hops = (text: string) =>
    Array.from(text.matchAll(/<li class="hop (\w+)">.*?<b>(.*?)<\/b>/g), match => `${match[2]} ${match[1]}`)
  t.same(
    hops(page()).map(hop => hop.split(' ')[0]),
    ['Clients', 'This', 'Tunnel', 'Targets'],
  )
  const called = { ...forward('web', 'up'), listeners: ['10.1.10.1:80'] }
  const { forwards } = endStatus({ ...parts(), forwards: [called] })
  t.same(
    hops(page({ forwards })).map(hop => hop.split(' ')[0]),
    ['Clients', 'Tunnel', 'This', 'Targets'],
  )
  t.ok(hops(page({ forwards })).includes('Targets good'))
  t.same(
    hops(page({ tunnel: undefined })).map(hop => hop.split(' ')[0]),
    ['Clients', 'This', 'Targets'],
  )
})

t.test('one fault is red, what is behind it is not, and nothing old is shown as if it were now', async t => {
  const text = statusPage({ status: endStatus(lost()), history, events: [], now })
  t.match(text, /<li class="hop bad">.*?<b>Tunnel<\/b><small>0 of 2 peers up<\/small>/)
  t.match(text, /<li class="hop quiet">.*?<b>Targets<\/b><small>0 of 4 up, 4 unknown<\/small>/)
  t.match(text, /one-way: port/)
  t.match(text, /Last answer<\/dt><dd><time[^>]*>2 s ago/)
  t.match(text, /Round trip<\/dt><dd>–</)
  t.match(text, /class="state quiet".*?backend-down.*?behind peer UGVlcktl, for/)
  t.match(text, /<span class="quiet">behind peer UGVlcktl, which is not reached/)
  t.notMatch(text, /ECONNREFUSED/)
  t.notMatch(text, /<h3>https<\/h3><span class="state good">/)
})

t.test('of thousands a person is shown some, those in trouble first', async t => {
  const [up] = endStatus({ ...parts(), forwards: [forward('up', 'up')] }).forwards
  const [down] = endStatus({ ...parts(), forwards: [forward('down', 'down')] }).forwards
  const forwards = Array.from({ length: 4000 }, (_, i) => (i === 3999 ? down! : { ...up!, name: `up-${i}` }))
  const text = page({ forwards })
  t.equal(text.match(/<h3>up-/g)?.length, 99)
  t.match(text, /<h3>down<\/h3>.*<h3>up-0<\/h3>/s)
  t.match(text, 'and 3900 more, all of them in /status.json')
  const targets = Array.from({ length: 300 }, (_, i) => ({
    ...up!.targets[0]!,
    address: `10.0.${i >> 8}.${i & 255}:80`,
  }))
  t.match(page({ forwards: [{ ...up!, targets }] }), 'and 200 more')
})

t.test('that a target takes connections says nothing of the header', async t => {
  const web = forward('web', 'up')
  const judgedAs = (state: 'ok' | 'failed', found: string) => {
    const targets = [{ ...web.targets[0]!, judged: { state, found, since: started - 60_000 } }]
    const given = { ...parts(), forwards: [{ ...web, targets }] }
    return statusPage({ status: endStatus(given), history, events: [], now })
  }
  const { forwards } = endStatus({ ...parts(), forwards: [web] })
  t.match(
    page({ forwards }),
    'takes connections; whether the PROXY header (v2) fits, <code>doctor</code> tells',
  )
  t.notMatch(page({ forwards: [{ ...forwards[0]!, sendProxy: false }] }), 'whether the PROXY header')
  const refused = judgedAs('failed', 'it does not expect the header')
  t.match(refused, /<h3>web<\/h3><span class="state bad">.*?up, header unfit/)
  t.match(refused, /<li class="hop bad">.*?<b>Targets/)
  t.match(refused, /<span class="bad">it does not expect the header<\/span> \(<time[^>]*>2 min ago/)
  t.notMatch(refused, 'whether the PROXY header')
  t.match(judgedAs('ok', 'it takes the header'), /<h3>web<\/h3><span class="state good">/)
})

t.test('a UDP forward is told as one, and that it drops, and why', async t => {
  const card = (text: string) =>
    /<section class="card"><div class="top"><h3>dns.*?<\/section>/s.exec(text)?.[0] ?? ''
  const text = card(page())
  t.match(text, /<h3>dns <span class="soft">UDP<\/span><\/h3><span class="state good">/)
  t.match(text, '0.0.0.0:53/udp, [::]:53/udp → 10.1.10.2:53')
  t.match(text, 'aria-label="Flows of dns: 1 now"')
  t.match(text, '<span>1 flow</span>')
  t.match(text, '<span>30 datagrams out</span><span>31 in</span>')
  t.match(text, '<small class="warning wrap">dropped: 12 too-big, 3 backlog</small>')
  t.match(text, '<small class="warning wrap">ended to make room: 2 flows</small>')
  t.notMatch(text, 'PROXY header', 'what cannot be asked is not promised')
  t.match(page(), '<small>0 open connections, 1 flow</small>')
  const none = Object.fromEntries(Object.keys(dns.datagrams.dropped).map(reason => [reason, 0])) as never
  const targets = [{ ...dns.targets[0]!, state: 'unknown' as const }]
  const calm = { ...dns, targets, datagrams: { ...dns.datagrams, dropped: none, evicted: 0 } }
  const status = endStatus({ ...parts(), forwards: [calm] })
  const told = card(statusPage({ status, history, events: [], now }))
  t.notMatch(told, /dropped|make room/)
  t.match(told, 'whether the target is there, ')
})

t.test('what is dropped, and what begins no flow, is an event each, however often', async t => {
  const events = new Events({ now: () => 0 })
  const reading = events.readAlong(recordingLog().log)
  const dropped = {
    forward: 'dns',
    reason: 'too-big',
    sender: '192.0.2.1:53',
    bytes: 1500,
    detail: '1392 fit',
  }
  for (let i = 0; i < 3; i++) reading.warn(dropped, 'datagrams dropped')
  reading.warn(
    { forward: 'dns', reason: 'denied', client: '192.0.2.1:53', detail: 'by deny' },
    'flow refused',
  )
  reading.warn({ forward: 'dns', reason: 'no-flow', count: 2, detail: 'no header came' }, 'datagrams dropped')
  t.match(events.recent, [
    { title: 'Dropped: no-flow', detail: /^dns: no header came$/ },
    { title: 'Refused: denied', detail: 'dns, client 192.0.2.1:53: by deny' },
    { title: 'Dropped: too-big', detail: 'dns, 1500 bytes from 192.0.2.1:53: 1392 fit', count: 3 },
  ])
})

t.test('the events of a path say which direction is lost, and what was done', async t => {
  const events = new Events({ now: () => 0 })
  const reading = events.readAlong(recordingLog().log)
  reading.warn({ peer: 'ABCDEFGH', from: 'up', to: 'one-way' }, 'path changed')
  t.match(events.recent[0], { tone: 'bad', title: 'One direction lost', detail: /ABCDEFGH/ })
  for (const to of ['one-way', 'recovering'])
    reading.warn({ peer: 'ABCDEFGH', from: to, to, rung: 'port' }, 'path changed')
  t.match(events.recent[0], { title: 'Recovery step', detail: 'peer ABCDEFGH: port', count: 2 })
})

t.test('15 minutes are kept, not more', async t => {
  let at = 0
  let bytes = 0
  const history = new History({
    read: () => [{ name: 'web', active: 3, receivedBytes: bytes, sentBytes: 2 * bytes }],
    now: () => at,
  })
  t.teardown(() => history.close())
  for (let i = 0; i < samples + 50; i++) {
    history.sample()
    at += 5000
    bytes += 500
  }
  const { active, received, sent } = history.of('web')
  t.same([active.length, received.length, sent.length], [samples, samples, samples])
  t.same([active[0], received.at(-1), sent.at(-1)], [3, 100, 200])
  bytes = 0
  history.sample()
  t.equal(history.of('web').received.at(-1), 0, 'a forward that counts anew')
  t.same(history.of('unknown'), { active: [], received: [], sent: [] })
  t.match(page({}, { history }), /<svg class="spark"/)
})

t.test('events: 50, like ones counted as one, and what a config quotes is left out', async t => {
  let time = 0
  const events = new Events({ now: () => time++ })
  const { log, lines } = recordingLog()
  const reading = events.readAlong(log)
  for (let i = 0; i < 60; i++) reading.info({ address: `10.0.0.${i}` }, 'link up')
  t.equal(events.recent.length, 50)
  t.match(events.recent[0], { title: 'Link up', detail: '10.0.0.59' })
  for (let i = 0; i < 1000; i++)
    reading.warn({ reason: 'header-invalid', forward: 'web', client: 'x', detail: 'y' }, 'connection refused')
  t.match(events.recent[0], { title: 'Refused: header-invalid', count: 1000 })
  t.equal(events.recent.filter(({ title }) => title === 'Link up').length, 49)
  reading.error(
    { errors: [`wg0.conf:3:1: error: PrivateKey: ${secret}`, 'more'] },
    'config refused, the old one goes on',
  )
  t.notMatch(JSON.stringify(events.recent), secret)
  t.match(events.recent[0], { title: 'Config refused', detail: /2 errors/ })
  reading.info({ version: '1' }, 'running')
  t.match(events.recent[0], { title: 'Started' })
  reading.debug({}, 'link up')
  t.equal(lines.length, 1063, 'every line is passed on')
})
