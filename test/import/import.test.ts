import { spawnSync } from 'node:child_process'
import { existsSync, globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { importFile, importText } from '../../src/import/import.ts'
import { folder, load, wgConf } from '../fixtures/config.ts'

const fixtures = join(import.meta.dirname, '../fixtures/haproxy')
const texts = new Map(
  globSync('*.cfg', { cwd: fixtures })
    .sort()
    .map(name => [name, readFileSync(join(fixtures, name), 'utf8')]),
)

/** Numbers of the lines that are neither empty nor a comment. */
function meaningful(text: string): number[] {
  return text.split('\n').flatMap((line, index) => (/^\s*(#|$)/.test(line) ? [] : [index + 1]))
}

/** Numbers of lines that the comments of a config name. */
function named(yaml: string): Set<number> {
  const comments = yaml.split('\n').flatMap(line => /(?:^|\s)# .*$/.exec(line)?.[0] ?? [])
  const numbers = comments.flatMap(comment =>
    Array.from(comment.matchAll(/\blines? (\d+(?:, \d+)*)/g), match => match[1]!.split(', ')),
  )
  return new Set(numbers.flat().map(Number))
}

/** What HAProxy says of a file; `undefined` when it takes it. */
function haproxyRefuses(path: string): string | undefined {
  const { status, stderr } = spawnSync(haproxy, ['-c', '-f', path], { encoding: 'utf8' })
  return status === 0 ? undefined : stderr
}

const haproxy = '/usr/sbin/haproxy'
const hasHaproxy = existsSync(haproxy)

t.ok(texts.size >= 12)
for (const [name, text] of texts) {
  t.test(name, async t => {
    await t.test('HAProxy takes it', { skip: !hasHaproxy && 'no haproxy here' }, async t => {
      t.equal(haproxyRefuses(join(fixtures, name)), undefined)
    })
    const { yaml, messages } = await importText(name, text)
    // Beside the file: the config, or what is wrong, as they were read and found right.
    const expected = join(fixtures, basename(name, '.cfg') + (yaml === undefined ? '.txt' : '.yaml'))
    const made = yaml ?? `${messages.join('\n')}\n`
    t.equal(made, readFileSync(expected, 'utf8'))
    for (const message of messages)
      t.match(message, /^[\w-]+\.cfg:\d+: (error|warning): found |: not supported yet: |: found /)
    if (yaml === undefined) return
    for (const message of messages) t.match(message, /: warning: /)
    t.same(
      meaningful(text).filter(line => !named(yaml).has(line)),
      [],
      'every line is named',
    )
    const { config, lines } = await load(t, { 'config.yaml': yaml })
    t.same(lines, [], 'check has nothing to say')
    t.ok(config)
  })
}

/** A file with these lines in a listen section of mode tcp, which begins at line 5. */
const listen = (...lines: string[]) =>
  ['defaults', ' mode tcp', ' timeout client 1m', ' timeout server 1m', 'listen a', ...lines].join('\n')
const base = ['bind 192.0.2.1:80', 'server s 10.1.10.2:80']

async function forward(...lines: string[]): Promise<string> {
  const { yaml, messages } = await importText('h.cfg', listen(...lines))
  return yaml === undefined ? messages.join('\n') : yaml.replace(/ # .*$/gm, '').replace(/^#.*\n/gm, '')
}

t.test('bind', async t => {
  for (const [address, expected] of [
    ['*:80', '"0.0.0.0:80"'],
    [':80', '"0.0.0.0:80"'],
    ['0.0.0.0:80', '"0.0.0.0:80"'],
    ['ipv4@:80', '"0.0.0.0:80"'],
    ['ipv6@:80', '"[::]:80"'],
    ['tcp6@*:80', '"[::]:80"'],
    ['[::]:80', '"[::]:80"'],
    [':::80 v4v6', '"[::]:80"'],
    [':::80,*:80', '":80"'],
    ['::1:80', '"[::1]:80"'],
    ['[2001:DB8::1]:80', '"[2001:db8::1]:80"'],
    ['localhost:80', '"localhost:80"'],
    ['192.0.2.1:80 name x id 7 backlog 128 nice 3 tfo defer-accept', '"192.0.2.1:80"'],
  ] as const)
    t.match(await forward(`bind ${address}`, 'server s 10.1.10.2:8080'), `listen: ${expected}\n`, address)
  for (const [address, message] of [
    ['', /h\.cfg:6: error: found a bind without an address/],
    ['80', /h\.cfg:6: error: found "80" at a bind/],
    ['*:0', /allowed: ADDRESS:PORT/],
    ['*:65536', /allowed: ADDRESS:PORT/],
    ['*:81-80', /allowed: ADDRESS:PORT/],
    ['ipv6@192.0.2.1:80', /allowed: ADDRESS:PORT/],
    ['[192.0.2.1]:80', /allowed: ADDRESS:PORT/],
    ['/run/x.sock', /allowed: ADDRESS:PORT/],
    ['fd@3', /allowed: ADDRESS:PORT/],
    ['quic4@:443', /allowed: ADDRESS:PORT/],
    ['*:443 ssl crt /x.pem', /found ssl, crt at a bind; TLS ends at the reverse proxy/],
    [':::80 v6only', /found v6only/],
    ['*:80 maxconn many', /found "many" as a limit/],
    ['gateway.example.com:80', /allowed: ADDRESS:PORT/],
    ['tunnel:80', /found "tunnel:80" at a bind/],
    ['*:80\nbind 192.0.2.1:80', /h\.cfg:7: error: .*at an address that forwards\.a-80\.listen \(line 6\)/],
    [
      '*:80\nbind :::80 accept-proxy',
      /h\.cfg:7: error: found port 80 with and without accept-proxy, see line 6/,
    ],
    ['127.0.0.1:9586', /h\.cfg:6: error: admin\.listen: found port 9586/],
  ] as const)
    t.match(await forward(`bind ${address}`, 'server s 10.1.10.2:8080'), message, address)
})

t.test('server', async t => {
  for (const [server, expected] of [
    ['10.1.10.2', 'target: "10.1.10.2:80"'],
    ['10.1.10.2:', 'target: "10.1.10.2:80"'],
    ['10.1.10.2:+1', 'target: "10.1.10.2:81"'],
    ['10.1.10.2:-1', 'target: "10.1.10.2:79"'],
    ['[fd00::2]:80', 'target: "[fd00::2]:80"'],
    ['fd00::2:80', 'target: "[fd00::2]:80"'],
    ['[fd00::2]', 'target: "[fd00::2]:80"'],
    ['web.example.com:8080', 'target: "web.example.com:8080"'],
    ['10.1.10.2:80', 'sendProxy: false'],
    ['10.1.10.2:80 send-proxy', 'sendProxy: v1'],
    ['10.1.10.2:80 send-proxy-v2 check-send-proxy', 'sendProxy: v2'],
    ['10.1.10.2:80 send-proxy-v2 send-proxy', 'sendProxy: v2'],
    ['10.1.10.2:80 check inter 2s rise 2 fall 3 weight 100 slowstart 10s', 'target: "10.1.10.2:80"'],
    ['10.1.10.2:80\nserver t 10.1.10.3:80 disabled', 'target: "10.1.10.2:80"'],
  ] as const)
    t.match(await forward('bind 192.0.2.1:80', `server s ${server}`), expected, server)
  for (const [server, message] of [
    ['', /found a server without a name and an address/],
    ['*', /found "\*" at a server/],
    ['0.0.0.0:80', /found "0\.0\.0\.0:80" at a server/],
    ['10.1.10.2:+', /found "10\.1\.10\.2:\+" at a server/],
    ['10.1.10.2:0', /at a server; allowed: HOST:PORT/],
    ['ipv4@web.example.com:80', /at a server; allowed: HOST:PORT/],
    ['ipv6@10.1.10.2:80', /at a server; allowed: HOST:PORT/],
    ['10.1.10.2:-80', /found a port offset that leads to port 0/],
    ['10.1.10.2 inter soon', /found "soon" as inter/],
    ['10.1.10.2 rise 0', /found "0" as rise/],
    ['10.1.10.2 source 10.1.10.1', /found "source" at a server/],
    ['10.1.10.2 ssl verify none', /found ssl, verify at a server/],
    ['10.1.10.2 disabled', /found no server in listen a/],
    ['10.1.10.2 backup\nserver t 10.1.10.3\nserver u 10.1.10.4', /found a backup beside several servers/],
    ['10.1.10.2\nserver t 10.1.10.3 send-proxy', /found another PROXY header than at line 7/],
    ['10.1.10.2 weight 2\nserver t 10.1.10.3', /found another weight than at line 7/],
    ['10.1.10.2\nserver t 10.1.10.3\nbalance source', /found balance source/],
  ] as const)
    t.match(await forward('bind 192.0.2.1:80', `server s ${server}`), message, server)
  t.match(
    await forward('bind 192.0.2.1:8000-8001', 'server s 10.1.10.2:80'),
    /found a port for the range 8000-8001/,
  )
})

t.test('an error in a number leads to no other', async t => {
  for (const [one, other] of [
    ['weight 10', 'weight 0'],
    ['check inter 3s', 'check inter 1m30s'],
    ['check inter soon rise 0 fall x', 'check inter 3s rise 3 fall 4'],
    ['check rise 0', 'check rise 0'],
  ]) {
    const said = await forward(
      'bind 192.0.2.1:80',
      `server s 10.1.10.2 ${one}`,
      `server t 10.1.10.3 ${other}`,
    )
    const wrong = `${one} ${other}`.match(/weight 0|1m30s|soon|rise 0|fall x/g)!.length
    t.equal(said.match(/: error: /g)?.length, wrong, said)
    t.notMatch(said, /found another/)
  }
})

t.test('several servers are a target list, spelt as the config has it', async t => {
  const list = /target: \["10\.1\.10\.2:80", "10\.1\.10\.3:80"\]/
  const checked = 'check inter 3s rise 4 fall 5'
  const range = await forward(
    'bind 192.0.2.1:8000-8001',
    ...['s 10.1.10.2 check', 't 10.1.10.3 check'].map(server => `server ${server}`),
  )
  t.match(range, /target: \["10\.1\.10\.2:8000-8001", "10\.1\.10\.3:8000-8001"\]/)
  t.match(range, /check: false/)
  for (const [servers, expected] of [
    [
      [`s 10.1.10.2 ${checked}`, `t 10.1.10.3 ${checked}`],
      [list, /interval: 3s\n +rise: 4\n +fall: 5\n/],
    ],
    [
      ['s 10.1.10.3 check backup', 't 10.1.10.2 check'],
      [list, /balance: first/, /interval: 2s/],
    ],
    [
      ['s 10.1.10.2', 't 10.1.10.3'],
      [list, /balance: roundrobin/, /check: false/],
    ],
    [
      ['s 10.1.10.2', 't 10.1.10.3\nbalance static-rr'],
      [list, /balance: roundrobin/],
    ],
  ] as const) {
    const yaml = await forward('bind 192.0.2.1:80', ...servers.map(server => `server ${server}`))
    for (const part of expected) t.match(yaml, part)
  }
})

t.test('who may connect', async t => {
  const rules = (...lines: string[]) => forward(...base, ...lines.map(line => `tcp-request ${line}`))
  for (const [lines, message] of [
    [['connection reject if { src 203.0.113.0/24 }'], /^ +deny: \["203\.0\.113\.0\/24"\]/m],
    [['session reject unless { src 203.0.113.0/24 }'], /^ +allow: \["203\.0\.113\.0\/24"\]/m],
    [['content accept if { src 10.0.0.0/8 }', 'content reject'], /^ +allow: \["10\.0\.0\.0\/8"\]/m],
    [
      ['connection reject if { src 10.0.0.1 }', 'session reject if { src 10.0.0.2 }'],
      /^ +deny: \["10\.0\.0\.1", "10\.0\.0\.2"\]/m,
    ],
    [
      ['connection reject unless { src 10.0.0.0/8 }', 'session reject unless { src 10.1.0.0/16 }'],
      /h\.cfg:9: error: found a second list of who is let in, beside line 8/,
    ],
    [['connection reject'], /h\.cfg:8: error: found a reject of every connection/],
    [['connection reject if { src 10.0.0.0/255.0.0.0 }'], /255\.0\.0\.0 is no prefix; write 10\.0\.0\.0\/8/],
    [['connection reject if { src 10.0.0.0/255.0.255.0 }'], /is no prefix; write the prefixes/],
    [
      ['connection reject if { src 10/8 }'],
      /10\/8 is 0\.0\.0\.10\/8 to HAProxy; write that, or 10\.0\.0\.0\/8/,
    ],
    [['connection reject if { src 10.1 }'], /10\.1 is 10\.0\.0\.1 to HAProxy/],
    [['connection reject if { src example.com }'], /example\.com is no prefix; write one such as/],
    [['connection reject if { src -f /etc/list }'], /allowed: one condition/],
    [['connection reject if { src 10.0.0.1 } { dst_port 80 }'], /allowed: one condition/],
    [['connection reject if nobody'], /allowed: one condition/],
    [['connection reject if { req.ssl_sni a.example.com }'], /names choose a target, and refuse nobody/],
    [['connection reject maybe'], /allowed: one condition/],
    [['connection expect-proxy layer4 if { src 10.0.0.1 }'], /only accept and reject/],
    [['connection accept if !{ src 10.0.0.1 }'], /found an order of rules/],
    [['connection'], /only accept and reject/],
    [['nothing'], /found tcp-request nothing in a section listen/],
  ] as const)
    t.match(await rules(...lines), message, lines.join())
  const same = await forward(...base)
  t.match(same, 'listen: "192.0.2.1:80"')
  t.equal(await rules('connection accept'), same)
  t.equal(await rules('connection accept', 'connection reject if { src 10.0.0.1 }'), same, 'never reached')
  t.equal(await rules('connection accept if { src 10.0.0.1 }'), same, 'all others are let in, too')
  t.equal(await rules('inspect-delay 5s'), same)
})

t.test('with accept-proxy the rules for connections are about who sends the header', async t => {
  const bind = ['bind *:80 accept-proxy', 'server s 10.1.10.2:80']
  t.match(
    await forward(...bind, 'tcp-request connection reject unless { src 10.1.10.1 10.1.10.3 }'),
    /acceptProxy: true\n.*trustedProxies: \["10\.1\.10\.1", "10\.1\.10\.3"\]/,
  )
  t.match(
    await forward(...bind, 'tcp-request connection reject if { src 10.1.10.9 }'),
    /h\.cfg:8: error: found who may not send a PROXY header/,
  )
  const { yaml, messages } = await importText(
    'h.cfg',
    listen(...bind, 'tcp-request session reject if { src 10.1.10.9 }'),
  )
  t.match(yaml, /^ +deny: \["10\.1\.10\.9"\]/m)
  t.match(messages, [/h\.cfg:6: warning: found accept-proxy, which believes anyone/])
})

t.test('use_backend', async t => {
  const file = (rule: string) =>
    `listen a\nbind 192.0.2.1:443\nserver s 10.1.10.2\n${rule}\nbackend mail\nserver m 10.1.10.3 send-proxy\n`
  const messages = async (rule: string) => (await importText('h.cfg', file(rule))).messages.join('\n')
  t.match(
    await messages('use_backend mail if { req.ssl_sni -i mail.example.com }'),
    /h\.cfg:6: error: found another PROXY header/,
  )
  t.match(await messages('use_backend none if { req_ssl_sni a.example.com }'), /found "none" as a backend/)
  for (const rule of [
    'mail',
    'mail if { req.ssl_sni -m end example.com }',
    'mail if { req.ssl_sni -m reg ^a }',
    'mail if { req.ssl_sni -m beg www. }',
    'mail if { req.ssl_sni 192.0.2.1 }',
    'mail if { req.ssl_sni }',
    'mail if { req.ssl_sni -m end }',
    'mail if { req.ssl_sni a.example.com } { src 10.0.0.1 }',
    'mail unless { req.ssl_sni a.example.com }',
    'mail if { src 10.0.0.1 }',
    'mail if { path_beg /mail }',
  ])
    t.match(
      await messages(`use_backend ${rule}`),
      /h\.cfg:4: error: found "use_backend mail.*allowed: one condition/,
      rule,
    )
})

t.test('which rule has a name: the first, as there', async t => {
  const routes = async (...rules: string[]) => {
    const backends = ['a', 'b'].map((name, i) => `backend ${name}\nserver s 10.1.10.${i + 3}:443`)
    const listener = [
      'defaults',
      'timeout client 1m',
      'timeout server 1m',
      'listen l',
      'bind 192.0.2.1:443',
      'tcp-request inspect-delay 5s',
      'tcp-request content accept if { req.ssl_hello_type 1 }',
    ]
    const own = ['server s 10.1.10.2:443', ...rules, 'backend x', 'server s 10.1.10.9:443']
    const { yaml, messages } = await importText('h.cfg', [...listener, ...own, ...backends].join('\n'))
    return yaml === undefined
      ? messages.join('\n')
      : Array.from(yaml.matchAll(/^ {6}(\S+): "?(10\.[\d.]+)/gm), ([, name, target]) => `${name} ${target}`)
  }
  const use = (backend: string, condition: string) => `use_backend ${backend} if { req.ssl_sni ${condition} }`
  t.same(
    await routes(use('a', '-i WWW.example.com mail.example.com'), use('b', 'www.example.com c.example.com')),
    ['www.example.com 10.1.10.3', 'mail.example.com 10.1.10.3', 'c.example.com 10.1.10.4'],
  )
  t.same(await routes(use('a', '-m str -i a.example.com'), use('b', '-i -m end .example.com .example.org')), [
    'a.example.com 10.1.10.3',
    '"*.example.com" 10.1.10.4',
    '"*.example.org" 10.1.10.4',
  ])
  t.same(
    await routes(
      use('a', '-m end .example.com'),
      use('b', 'www.example.com'),
      use('b', '-m end .x.example.com'),
    ),
    ['"*.example.com" 10.1.10.3'],
    'what an earlier one takes',
  )
  t.same(
    await routes(
      use('a', '-m end .a.example.com'),
      use('b', '-m end .example.com'),
      use('b', 'a.example.com'),
    ),
    ['"*.a.example.com" 10.1.10.3', '"*.example.com" 10.1.10.4'],
  )
})

t.test('what differs between routes is an error', async t => {
  const file = (...backend: string[]) =>
    [
      'frontend a',
      'bind 192.0.2.1:443',
      'use_backend b if { req.ssl_sni b.example.com }',
      'default_backend c',
      'backend c',
      'server s 10.1.10.2',
      'server t 10.1.10.3',
      'backend b',
      ...backend,
    ].join('\n')
  for (const [lines, message] of [
    [['server s 10.1.10.2', 'mode http'], /h\.cfg:10: error: found mode http for backend b/],
    [['server s 10.1.10.2 maxconn 5'], /h\.cfg:9: error: found another maxconn/],
    [['server s 10.1.10.2', 'timeout tunnel 5s'], /h\.cfg:8: error: found another choice of timeouts/],
    [
      ['server s 10.1.10.2', 'server t 10.1.10.4', 'balance first'],
      /h\.cfg:11: error: found another balance/,
    ],
    [
      ['server s 10.1.10.2', 'tcp-request content reject if { src 10.0.0.1 }'],
      /h\.cfg:10: error: found a rule/,
    ],
    [[], /h\.cfg:8: error: found no server in backend b/],
  ] as const)
    t.match((await importText('h.cfg', file(...lines))).messages.join('\n'), message, lines.join())
  const { messages } = await importText(
    'h.cfg',
    file('server s 10.1.10.2').replace(
      'server t 10.1.10.3',
      'tcp-request content reject if { src 10.0.0.1 }',
    ),
  )
  t.match(messages.join('\n'), /h\.cfg:7: error: found a rule for the connections of one backend/)
})

t.test('timeouts', async t => {
  for (const [line, expected] of [
    ['timeout connect 0', /idle: 1m\n/],
    ['timeout tunnel 0', /idle: 1m\n *$/],
    ['timeout server-fin 0', /idle: 1m\n *$/],
    ['timeout tunnel 2000d', /idle: 576h\n +halfClosed: 576h\n/],
    ['timeout tunnel 5m', /idle: 5m\n *$/],
    ['timeout tunnel 301s', /idle: 301s\n +halfClosed: 301s\n/],
    ['timeout client 0\ntimeout server 0', /idle: none\n +halfClosed: 576h\n/],
    ['timeout client-fin 9s\ntimeout server-fin 9s', /idle: 1m\n +halfClosed: 9s\n/],
    [
      'timeout client-fin 9s\ntimeout server-fin 8s',
      /h\.cfg:9: error: found timeout client-fin 9s \(line 8\)/,
    ],
    ['timeout client-fin 9s', /timeout client-fin 9s \(line 8\) and no timeout server-fin, so 1m;/],
    ['timeout client-fin 61s\ntimeout server-fin 61s', /longer than an open connection may be silent, 1m/],
    [
      'timeout client 2m',
      /h\.cfg:8: error: found timeout client 2m \(line 8\) and timeout server 1m \(line 4\)/,
    ],
    ['timeout client 1m30s', /found "1m30s" as timeout client; HAProxy takes no more of it than 1m:/],
    ['timeout queue 5s', /idle: 1m\n/],
    ['timeout client soon', /h\.cfg:8: error: found "soon" as timeout client/],
    ['timeout client', /h\.cfg:8: error: found nothing as timeout client/],
    ['timeout lunch 5s', /h\.cfg:8: error: found timeout lunch/],
  ] as const)
    t.match(await forward(...base, line), expected, line)
  const { yaml, messages } = await importText(
    'h.cfg',
    'listen a\nbind 192.0.2.1:80\nserver s 10.1.10.2\ntimeout server 5s\n',
  )
  t.equal(yaml, undefined)
  t.match(messages, [
    /h\.cfg:4: error: found no timeout client and timeout server 5s \(line 4\); .*make them equal/,
  ])
  const endless = await importText('h.cfg', 'listen a\nbind 192.0.2.1:80\nserver s 10.1.10.2\n')
  t.match(endless.yaml, /timeouts:\n +halfClosed: 576h/)
})

t.test('sections', async t => {
  for (const [text, message] of [
    ['', /h\.cfg: error: found nothing to forward/],
    ['mode tcp', /h\.cfg:1: error: found "mode" before any section/],
    ['listen', /h\.cfg:1: error: found a listen without a name/],
    ['listen a *:80', /h\.cfg:1: error: found "\*:80" after listen a/],
    ['global x', /h\.cfg:1: error: found "x" after global/],
    ['defaults from none', /h\.cfg:1: error: found from none/],
    ['peers p\n peer a 10.0.0.1:1', /^h\.cfg: error: found nothing to forward[^\n]*$/],
    ['program p\n command x', /^h\.cfg:1: error: found a section program; there is none here[^\n]*$/],
    ['frontend "$X"\n bind *:80\n nonsense', /^h\.cfg:1: error: found an environment variable[^\n]*$/],
    ['frontend a\n default_backend b', /h\.cfg:1: error: found no bind in frontend a/],
    ['frontend a\n bind *:80', /h\.cfg:1: error: found no default_backend/],
    ['frontend a\n bind *:80\n default_backend b', /h\.cfg:3: error: found "b" as default_backend/],
    ['frontend a\n bind *:80\n server s 10.1.10.2', /h\.cfg:3: error: found server in a section frontend/],
    ['backend a\n bind *:80', /h\.cfg:2: error: found bind in a section backend/],
    [
      'backend a\n tcp-request session reject',
      /h\.cfg:2: error: found tcp-request session in a section backend/,
    ],
    ['listen a\n disabled\n bind *:80', /h\.cfg: error: found nothing to forward/],
    ['global\n hard-stop-after 700h', /h\.cfg:2: error: found "700h" as hard-stop-after/],
    [
      'defaults\n disabled\nlisten a\n enabled\n mode http\n bind *:80',
      /h\.cfg:3: error: found mode http \(line 5\)/,
    ],
    ['listen a\n rate-limit bytes 5', /h\.cfg:2: error: found "bytes 5" as rate-limit/],
    ['.if defined(X)\nlisten a\n.endif', /^h\.cfg:1: error: found \.if, [^\n]* up to \.endif \(line 3\)$/],
    ['.if defined(X)\nlisten a\n.else', /^h\.cfg:1: error: found \.if, [^\n]* the \.endif that is missing$/],
    ['global\n hard-stop-after 0', /h\.cfg:2: error: found "0" as hard-stop-after, which is no limit/],
    [
      'global\n hard-stop-after 1m5s',
      /h\.cfg:2: error: found "1m5s" as hard-stop-after; HAProxy takes no more/,
    ],
    ['global\n no strict-limits\n no maxsessrate 5', /^h\.cfg:3: error: found "no maxsessrate"/],
    [
      'listen a\n bind /x\n server s *',
      /^h\.cfg:2: error: [^\n]*\nh\.cfg:3: error: found "\*" at a server[^\n]*$/,
    ],
    [
      'frontend a\n bind *:80\n default_backend b\nbackend b\n server-template s 1 x:80',
      /^h\.cfg:5: error: [^\n]*$/,
    ],
    [
      'frontend a\n bind *:80\n acl x dst_port 80\n use_backend b if x\n use_backend b if x !y',
      /^h\.cfg:3: error: found "dst_port 80" as a condition[^\n]*$/,
    ],
    ['frontend a from d\n.if 1\ndefaults d\n.endif\n bind *:80', /^h\.cfg:2: error: found \.if[^\n]*$/],
  ] as const) {
    const { yaml, messages } = await importText('h.cfg', text)
    t.equal(yaml, undefined)
    t.match(messages.join('\n'), message, text)
  }
})

t.test('names are made fit for the config, and differ', async t => {
  const { yaml } = await importText(
    'h.cfg',
    ['a:b', 'a-b', 'constructor', '::', 'true', '8000', 'x'.repeat(80)]
      .map((name, i) => `listen ${name}\n bind 192.0.2.1:${i + 1}\n server s 10.1.10.2\n`)
      .join(''),
  )
  const { config } = await load(t, { 'config.yaml': yaml! })
  t.same(
    config?.forwards.map(({ name }) => name).sort(),
    ['8000', 'a-b', 'a-b-2', 'constructor-1', 'forward', 'true', 'x'.repeat(50)].sort(),
  )
})

t.test('no secret and no line break gets into the comments', async t => {
  const { yaml } = await importText(
    'h.cfg',
    `${listen(...base)}\ndynamic-cookie-key secret\nlisten stats\nstats auth admin:secret\nuserlist u\nuser a password secret\nglobal\ncluster-secret secret\nlog "x\\ny: z\\r\\x1b[2J"\n`,
  )
  t.notMatch(yaml?.replace('cluster-secret', ''), /secret|\x1b|\ny: z/)
  t.match(yaml, /line 8 dynamic-cookie-key\n/)
  t.match(yaml, 'log x?y: z??[2J')
})

t.test('what checks do beyond a connect', async t => {
  const checked = (...lines: string[]) =>
    forward('bind 192.0.2.1:80', ...lines, 'server s 10.1.10.2:80 check', 'server t 10.1.10.3:80 check')
  for (const [lines, message] of [
    [['option tcp-check', 'tcp-check connect'], /interval: 2s/],
    [['tcp-check expect string x'], /interval: 2s/],
    [['option httpchk', 'option tcp-check', 'http-check expect status 200'], /interval: 2s/],
    [['option tcp-check', 'tcp-check expect string x'], /^h\.cfg:8: error: found tcp-check expect; [^\n]*$/],
    [['option smtpchk', 'tcp-check connect'], /^h\.cfg:7: error: found option smtpchk; [^\n]*$/],
    [['default-server check-sni str(x)'], /^h\.cfg:7: error: found check-sni at a server; [^\n]*$/],
    [
      ['default-server check-ssl port 81 no-check-ssl'],
      /^h\.cfg:7: error: found port at a server; a check [^\n]*$/,
    ],
    [['default-server check-ssl no-check-ssl verify none'], /interval: 2s/],
    [['default-server ssl verify none no-ssl'], /interval: 2s/],
    [['default-server ssl verify none'], /^h\.cfg:7: error: found ssl, verify at a server; [^\n]*$/],
    [
      ['default-server send-proxy-v2-ssl-cn'],
      /^h\.cfg:7: error: found ssl, cert-cn in the v2 header [^\n]*$/,
    ],
  ] as const)
    t.match(await checked(...lines), message, lines.join())
})

t.test('every parameter of a line is told', async t => {
  t.match(
    await forward(
      'bind *:80 interface eth0 what is that maxconn x transparent',
      'server s 10.1.10.2 a b track c/d',
    ),
    new RegExp(
      [
        /^h\.cfg:6: error: found "interface" at a bind; .*/,
        /h\.cfg:6: error: found "what" at a bind; .*/,
        /h\.cfg:6: error: found "x" as a limit; .*/,
        /h\.cfg:6: error: found "transparent" at a bind; .*/,
        /h\.cfg:7: error: found "a" at a server; .*/,
        /h\.cfg:7: error: found "track" at a server; .*$/,
      ]
        .map(({ source }) => source)
        .join('\\n'),
    ),
  )
})

t.test('rules about TLS', async t => {
  const rules = (...lines: string[]) => forward(...base, ...lines)
  t.match(await rules('tcp-request content accept if { req_ssl_hello_type 1 }'), 'listen: "192.0.2.1:80"')
  for (const [lines, message] of [
    [
      ['tcp-request connection accept if { req.ssl_hello_type 1 }'],
      /only tcp-request content sees a ClientHello/,
    ],
    [['tcp-request content reject if { req.ssl_hello_type 1 }'], /found an order of rules/],
    [['tcp-request content reject unless { req.ssl_hello_type 1 }'], /found a reject of what is not TLS/],
    [['acl a src 10.0.0.1', 'acl a req.ssl_sni -i b.test'], /:9: error: .*a asks something else before/],
    [['acl a req.ssl_sni -m reg ^a'], /allowed: src PREFIX…, req\.ssl_sni -i NAME…/],
    [['acl a req.ssl_hello_type 2'], /found "req\.ssl_hello_type 2" as a condition/],
    [['server-template t 2 x.test:80'], /write one server with the name/],
  ] as const)
    t.match(await rules(...lines), message, lines.join())
})

t.test('with --wg-conf what is bound to the tunnel is tunnel:', async t => {
  const path = folder(t, {
    'wg0.conf': wgConf,
    'h.cfg': listen('bind 10.1.10.1:80 accept-proxy', 'server s 10.43.0.1'),
    'plain.cfg': listen('bind 10.1.10.1:80', 'bind 192.0.2.1:80', 'server s 10.43.0.1'),
    'broken.conf': '[Interface]\nAddress = x\n',
  })
  const at = (name: string) => join(path, name)
  const { yaml, messages } = await importFile(at('h.cfg'), at('wg0.conf'))
  t.same(messages, [])
  t.match(yaml, /listen: "tunnel:80"/)
  t.match(yaml, /acceptProxy: true # line 6; from the peers/)
  t.notMatch(yaml, 'trustedProxies')
  const plain = (await importFile(at('plain.cfg'), at('wg0.conf'))).yaml
  t.match(plain, /listen: "tunnel:80" # line 6\n.*\n +acceptProxy: false # line 6\n/)
  t.match(plain, /listen: "192\.0\.2\.1:80" # line 7\n.*\n +sendProxy/)
  const broken = await importFile(at('h.cfg'), at('broken.conf'))
  t.equal(broken.yaml, undefined)
  t.match(broken.messages.join('\n'), /broken\.conf:2:\d+: error: /)
  const missing = await importFile(at('none.cfg'), at('none.conf'))
  t.match(missing, { yaml: undefined, messages: [/none\.cfg does not exist/, /none\.conf does not exist/] })
})

const vocabulary =
  'bind server src if unless { } *:80 a 10.1.10.2 " \' \\ # ! 5s acl tcp-request connection reject default_backend ' +
  '.if .endif mode http disabled option ssl-hello-chk tcp-check content accept req.ssl_hello_type 1 userlist check ssl timeout "$X'
const junk = fc.oneof(
  fc.string({ maxLength: 40 }),
  fc.array(fc.constantFrom(...vocabulary.split(' '))).map(words => words.join(' ')),
)

t.test('whatever is made of a file, a line is never lost without a word', async t => {
  const lines = [...texts.values()].flatMap(text => text.split('\n'))
  let carried = 0
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...texts.values()),
      fc.array(fc.tuple(fc.nat(), fc.oneof(fc.constantFrom(...lines), fc.constant(undefined), junk)), {
        maxLength: 4,
      }),
      async (text, edits) => {
        const edited = text.split('\n')
        for (const [at, line] of edits) {
          if (line === undefined) edited.splice(at % edited.length, 1)
          else edited.splice(at % edited.length, 0, line.replace(/[\r\n\uFEFF]/g, ''))
        }
        const { yaml, messages } = await importText('h.cfg', edited.join('\n'))
        if (yaml === undefined) return messages.some(message => message.includes(': error: '))
        carried += 1
        const numbers = named(yaml)
        return edited.every((line, i) => /^[ \t]*(#|$)/.test(line) || numbers.has(i + 1))
      },
    ),
    { numRuns: 500 },
  )
  t.ok(carried > 50, 'and many of them are carried over')
})

t.test('a line that means nothing to it is an error, wherever it stands', async () => {
  const valid = [...texts].filter(([name]) => existsSync(join(fixtures, name.replace('.cfg', '.yaml'))))
  const word = fc.stringMatching(/^[a-z]{4,10}$/).map(word => `x-${word}`)
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...valid), fc.nat(), word, async ([, text], at, word) => {
      const lines = text.split('\n')
      const sections = lines.flatMap((line, i) => (/^(resolvers|listen stats)/.test(line) ? [i] : []))
      const index = at % lines.length
      lines.splice(index, 0, word)
      const inForeign = sections.some(
        i => index > i && !lines.slice(i + 1, index).some(line => /^\w/.test(line)),
      )
      const { messages } = await importText('h.cfg', lines.join('\n'))
      return (
        inForeign ||
        messages.some(message => message.startsWith(`h.cfg:${index + 1}: error: found "${word}"`))
      )
    }),
    { numRuns: 200 },
  )
})

t.test('bytes', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async bytes => {
      const { yaml, messages } = await importText('h.cfg', Buffer.from(bytes).toString('utf8'))
      return yaml === undefined && messages.length > 0
    }),
  )
})
