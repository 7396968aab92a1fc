import { helloFor, message, records, serverNames } from '../forward/hello.ts'
import type { Probe } from './probes.ts'

/**
 * Small files that HAProxy takes, each for one thing that it means. `<0>` to `<19>` are ports, the servers are back ends
 * of probes.ts.
 */

/** A client, and what becomes of it at HAProxy and at a forward alike. */
export interface Case extends Probe {
  readonly answer: string
  /** What a forward makes of it instead; a warning tells of it. */
  readonly ours?: string
  /** At least so many milliseconds pass until then. */
  readonly after?: number
  /** It is so in the end: checks take their time. */
  readonly isEventual?: boolean
}

export interface Row {
  readonly name: string
  /** `<0>`. */
  readonly port: number
  readonly file: string
  readonly cases: readonly Case[]
  /** What the import refuses it for; then the cases are HAProxy's alone. */
  readonly messages: readonly string[] | undefined
  /** What the import warns of, where it matters. */
  readonly warnings: readonly string[] | undefined
  /** It takes seconds. */
  readonly isSlow: boolean
}

const rows: Row[] = []

function add(row: Pick<Row, 'name' | 'file' | 'cases'> & Partial<Row>): void {
  const isSlow = row.messages !== undefined || row.cases.some(({ after = 0 }) => after > 0)
  const port = 10_000 + 20 * rows.length
  rows.push({ messages: undefined, warnings: undefined, port, isSlow, ...row })
}

/** The import takes it. */
function same(name: string, file: string, ...cases: Case[]): void {
  add({ name, file, cases })
}

/** The import takes it, and warns that it is not quite the same. */
function differs(name: string, file: string, warnings: string[], ...cases: Case[]): void {
  add({ name, file, cases, warnings })
}

/** The import refuses it; the cases show why. */
function refused(name: string, file: string, messages: string[], ...cases: Case[]): void {
  add({ name, file, cases, messages })
}

const timeouts = ' timeout connect 2s\n timeout client 5s\n timeout server 5s\n'
const defaults = `defaults\n mode tcp\n${timeouts}`

/** Lines of a listen section on 127.0.0.1:<0>, with two servers to name. */
function listen(...lines: string[]): string {
  return `${defaults}listen l\n bind 127.0.0.1:<0>\n${lines.map(line => ` ${line}\n`).join('')}`
}

const A = '127.1.0.1:7000'
const B = '127.1.0.2:7000'
const C = '127.1.0.3:7000'
const bare = 'without a header'
const none = 'no answer'
const here = '127.0.0.1:<0>'

const said = (answer: string, probe: Partial<Case> = {}): Case => ({
  to: here,
  say: 'hello',
  ...probe,
  answer,
})

// Which PROXY header a server gets.

const v1 = said(`${A} v1 127.0.0.1 127.0.0.1:<0>`)
const v2 = said(`${A} v2 127.0.0.1 127.0.0.1:<0>`)
const headers = [
  ['', '', bare],
  ['', 'send-proxy', 'v1'],
  ['', 'send-proxy-v2', 'v2'],
  ['', 'send-proxy-v2 send-proxy', 'v2'],
  ['send-proxy', 'no-send-proxy-v2', 'v1'],
  ['send-proxy send-proxy-v2', 'no-send-proxy-v2', 'v1'],
  ['send-proxy send-proxy-v2', 'no-send-proxy', 'v2'],
  ['send-proxy-v2', 'no-send-proxy-v2', bare],
  ['send-proxy-v2', 'no-send-proxy-v2 send-proxy', 'v1'],
  ['send-proxy-v2', 'no-send-proxy-v2-ssl', bare],
  ['send-proxy', 'no-send-proxy-v2-ssl-cn', 'v1'],
  ['send-proxy-v2-ssl', 'no-send-proxy-v2-ssl', bare],
  ['send-proxy-v2-ssl', 'no-send-proxy-v2', 'v1'],
  ['send-proxy-v2-ssl-cn', 'no-send-proxy-v2-ssl', 'v1'],
  ['send-proxy-v2-ssl-cn', 'no-send-proxy-v2-ssl-cn', bare],
  ['', 'proxy-v2-options crc32c', 'v1'],
  ['proxy-v2-options ssl,unique-id', 'no-send-proxy-v2', 'v1'],
] as const
/** A listen section for each, on ports of their own. */
const eachOf = (sections: readonly (readonly string[])[]) =>
  `${defaults}${sections.map((lines, i) => `listen l${i}\n${lines.map(line => ` ${line}\n`).join('')}`).join('')}`
same(
  'flags of the PROXY header, of default-server and server',
  eachOf(
    headers.map(([first, then], i) => [
      `bind 127.0.0.1:<${i}>`,
      ...(first === '' ? [] : [`default-server ${first}`]),
      `server a ${A} ${then}`,
    ]),
  ),
  ...headers.map(([, , header], i) =>
    said(`${A} ${header === bare ? bare : `${header} 127.0.0.1 127.0.0.1:<${i}>`}`, {
      to: `127.0.0.1:<${i}>`,
    }),
  ),
)
same(
  'default-server lines add up, and count from there on',
  `${listen('default-server send-proxy', 'default-server send-proxy-v2', `server a ${A}`)}listen m\n bind 127.0.0.1:<1>\n server a ${A}\n default-server send-proxy\n`,
  v2,
  said(`${A} ${bare}`, { to: '127.0.0.1:<1>' }),
)
same(
  'what each defaults section gives',
  `defaults one
 mode tcp
${timeouts} default-server send-proxy
defaults two from one
 default-server send-proxy-v2
listen a from one
 bind 127.0.0.1:<0>
 server a ${A}
listen b from two
 bind 127.0.0.1:<1>
 server a ${A} no-send-proxy-v2
listen c from two
 bind 127.0.0.1:<2>
 server a ${A} no-send-proxy
${defaults}listen d
 bind 127.0.0.1:<3>
 server a ${A}
`,
  v1,
  said(`${A} v1 127.0.0.1 127.0.0.1:<1>`, { to: '127.0.0.1:<1>' }),
  said(`${A} v2 127.0.0.1 127.0.0.1:<2>`, { to: '127.0.0.1:<2>' }),
  said(`${A} ${bare}`, { to: '127.0.0.1:<3>' }),
)
refused(
  'TLS in the header',
  listen(`server a ${A} send-proxy-v2-ssl`),
  [
    'haproxy.cfg:8: error: found ssl in the v2 header of a server, by proxy-v2-options or send-proxy-v2-ssl; what it tells beside the addresses is no choice here: write send-proxy-v2 alone',
  ],
  v2,
)
refused('options of the header', listen(`server a ${A} send-proxy-v2 proxy-v2-options crc32c`), [
  'haproxy.cfg:8: error: found crc32c in the v2 header of a server, by proxy-v2-options or send-proxy-v2-ssl; what it tells beside the addresses is no choice here: write send-proxy-v2 alone',
])
const header = (source: string) => `PROXY TCP4 ${source} 192.0.2.80 4711 80\r\n`
same(
  'accept-proxy: connection rules are about the sender, session rules about the client',
  listen(
    'bind 127.0.0.1:<1> accept-proxy',
    'tcp-request connection reject unless { src 127.0.0.1 }',
    'tcp-request session reject if { src 10.0.0.0/8 }',
    `server a ${A} send-proxy-v2`,
  ),
  said(`${A} v2 11.0.0.1 192.0.2.80:80`, { to: '127.0.0.1:<1>', say: header('11.0.0.1') }),
  said(none, { to: '127.0.0.1:<1>', say: header('10.0.0.1') }),
  said(none, { to: '127.0.0.1:<1>', say: header('11.0.0.1'), from: '127.0.0.2' }),
  said(none, { to: '127.0.0.1:<1>', say: 'no header' }),
)

// Which back end a server name leads to.

const sni = (...lines: string[]) =>
  `${defaults}frontend f
 bind 127.0.0.1:<0>
 tcp-request inspect-delay 3s
 tcp-request content accept if { req.ssl_hello_type 1 }
${lines.map(line => ` ${line}\n`).join('')} default_backend rest
backend b
 server b ${B}
backend c
 server c ${C}
backend rest
 server a ${A}
`
const asks = (name: string, at: string) => said(`${at} ${bare}`, { say: helloFor(name) })
same(
  'names with -i',
  sni('use_backend b if { req.ssl_sni -i WWW.example.com b.example.com }'),
  asks('www.example.com', B),
  asks('Www.Example.Com', B),
  asks('b.example.com', B),
  asks('example.com', A),
  said(`${A} ${bare}`, { say: 'no TLS' }),
)
same(
  'names in small letters',
  sni('use_backend b if { req_ssl_sni www.example.com }'),
  asks('www.example.com', B),
  asks('a.example.com', A),
)
same(
  'req.ssl_sni,lower',
  sni('use_backend b if { req.ssl_sni,lower www.example.com }'),
  asks('WWW.example.com', B),
  asks('a.example.com', A),
)
same(
  'the end of a name',
  sni('use_backend b if { req.ssl_sni -i -m end .Example.com }'),
  asks('www.example.com', B),
  asks('a.b.EXAMPLE.com', B),
  asks('example.com', A),
  asks('badexample.com', A),
)
same(
  'acl lines with the same name add up, also behind their use',
  sni(
    'acl mail req.ssl_sni -i a.example.com',
    'use_backend b if mail',
    'acl mail req.ssl_sni -i b.example.com',
    'use_backend c if { req.ssl_sni -i b.example.com c.example.com }',
  ),
  asks('a.example.com', B),
  asks('b.example.com', B),
  asks('c.example.com', C),
)
same(
  'the first rule that has the name',
  sni(
    'use_backend b if { req.ssl_sni -i -m end .example.com }',
    'use_backend c if { req.ssl_sni -i www.example.com }',
  ),
  asks('www.example.com', B),
  asks('www.example.org', A),
)
same(
  'who speaks no TLS is rejected, where only names lead on',
  `${sni('acl hello req_ssl_hello_type 1', 'tcp-request content accept if hello', 'tcp-request content reject', 'use_backend b if { req.ssl_sni -i b.example.com }').replace(' default_backend rest\n', '')}`,
  asks('b.example.com', B),
  said(none, { say: helloFor('a.example.com') }),
  said(none, { say: 'no TLS' }),
)
refused(
  'capitals without -i: no browser sends them',
  sni('use_backend b if { req.ssl_sni A.Example.COM }'),
  [
    'haproxy.cfg:10: error: found "use_backend b if { req.ssl_sni A.Example.COM }"; A.Example.COM is never asked for in capitals, which HAProxy minds without -i; write -i, or a.example.com',
  ],
  asks('a.example.com', A),
  asks('A.Example.COM', B),
)
refused(
  'a dot at the end: no browser sends it',
  sni('use_backend b if { req.ssl_sni -i a.example.com. }'),
  [
    'haproxy.cfg:10: error: found "use_backend b if { req.ssl_sni -i a.example.com. }"; a.example.com. is never asked for, as clients leave out the dot at its end; leave it out',
  ],
  asks('a.example.com', A),
)
refused(
  'a star: HAProxy knows none',
  sni('use_backend b if { req.ssl_sni -i *.example.com }'),
  [
    'haproxy.cfg:10: error: found "use_backend b if { req.ssl_sni -i *.example.com }"; *.example.com is a name like any other to HAProxy, and never asked for; write -m end .example.com for all names below it',
  ],
  asks('www.example.com', A),
)
refused(
  'nothing waits for the name',
  sni('use_backend b if { req.ssl_sni -i b.example.com }').replace(/ tcp-request content.*\n/, ''),
  [
    'haproxy.cfg:9: error: found use_backend by a server name that nothing waits for, so HAProxy chooses at once, mostly before the name is there; add tcp-request inspect-delay 5s and tcp-request content accept if { req.ssl_hello_type 1 }',
  ],
  { ...asks('b.example.com', A), waits: 300 },
)
refused(
  'some do not wait for the name',
  sni('use_backend b if { req.ssl_sni -i b.example.com }').replace(
    / tcp-request content/,
    ' tcp-request content accept if { src 127.0.0.2 }\n$&',
  ),
  [
    'haproxy.cfg:11: error: found use_backend by a server name that nothing waits for, so HAProxy chooses at once, mostly before the name is there; add tcp-request inspect-delay 5s and tcp-request content accept if { req.ssl_hello_type 1 }',
  ],
  { ...asks('b.example.com', A), waits: 300, from: '127.0.0.2' },
  { ...asks('b.example.com', B), waits: 300 },
)
refused(
  'who speaks no TLS is rejected, beside a default',
  sni('tcp-request content reject', 'use_backend b if { req.ssl_sni -i b.example.com }'),
  [
    'haproxy.cfg:10: error: found a reject of what is not TLS; here it goes to the target: remove default_backend to refuse it, or remove the reject',
  ],
  asks('b.example.com', B),
  asks('a.example.com', A),
  said(none, { say: 'no TLS' }),
)
refused(
  'a rule behind the one for TLS is for what is not TLS',
  sni('tcp-request content reject if { src 127.0.0.2 }', 'use_backend b if { req.ssl_sni -i b.example.com }'),
  [
    'haproxy.cfg:10: error: found a rule behind that of line 9, so for what is not TLS alone; write it before that one',
  ],
  { ...asks('b.example.com', B), from: '127.0.0.2' },
  said(none, { say: 'no TLS', from: '127.0.0.2' }),
)

const slowClients =
  'haproxy.cfg:8: warning: found tcp-request inspect-delay; who sends nothing for 3s goes to the default backend there, and is reset here: a protocol in which the server speaks first needs a forward of its own'
differs(
  'capitals of the client, without -i',
  sni('use_backend b if { req.ssl_sni www.example.com }'),
  [
    slowClients,
    'haproxy.cfg:10: warning: found a server name without -i: HAProxy sends who asks for it in capitals elsewhere, a forward knows no capitals',
  ],
  { ...asks('WWW.example.com', A), ours: `${B} ${bare}` },
)
differs(
  'who waits for the server goes to the default backend after the delay',
  sni('use_backend b if { req.ssl_sni -i b.example.com }').replace(
    `server a ${A}`,
    'server a 127.1.0.1:7020',
  ),
  [slowClients],
  { to: here, answer: '127.1.0.1:7020 greets', ours: none, after: 3000 },
)
// HAProxy 2.6 and 3.0 look into the first record alone.
differs(
  'a ClientHello in two records',
  sni('use_backend b if { req.ssl_sni -i b.example.com }'),
  [slowClients],
  said(`${A} ${bare}`, { say: records(message([serverNames('b.example.com')]), 40), ours: `${B} ${bare}` }),
)
differs(
  'connections beyond a rate wait',
  listen('rate-limit sessions 1', `server a ${A}`),
  [
    'haproxy.cfg:8: warning: found rate-limit sessions; connections beyond 1 a second are refused, they do not wait',
  ],
  said(`${A} ${bare}`),
)

// Who may connect.

const from = (...answers: [source: string, mayPass: boolean][]) =>
  answers.map(([source, mayPass]) => said(mayPass ? `${A} ${bare}` : none, { from: source }))
const rules = (...lines: string[]) => listen(`server a ${A}`, ...lines.map(line => `tcp-request ${line}`))
same(
  'reject if',
  rules('connection reject if { src 127.0.0.4/31 127.0.0.9 }'),
  ...from(['127.0.0.1', true], ['127.0.0.5', false], ['127.0.0.9', false]),
)
same(
  'a prefix with host bits',
  rules('connection reject unless { src 127.0.0.5/30 }'),
  ...from(['127.0.0.4', true], ['127.0.0.8', false]),
)
same(
  'rejects, then accepts, then a reject of all others',
  rules(
    'connection reject if { src 127.0.0.5 }',
    'connection accept if { src 127.0.0.0/29 }',
    'connection reject',
  ),
  ...from(['127.0.0.1', true], ['127.0.0.5', false], ['127.0.0.9', false]),
)
same(
  'an accept ends its own stage alone, in whatever order they are written',
  rules(
    'content reject if { src 127.0.0.6 }',
    'session reject if { src 127.0.0.5 }',
    'connection accept if { src 127.0.0.5 }',
  ),
  ...from(['127.0.0.1', true], ['127.0.0.5', false], ['127.0.0.6', false]),
)
same(
  'negations, and names that know capitals',
  listen(
    'acl a src 127.0.0.5',
    'acl a src 127.0.0.6',
    'acl A src 127.0.0.7',
    'tcp-request connection reject unless ! a',
    'tcp-request connection reject if A',
    `server a ${A}`,
  ),
  ...from(['127.0.0.1', true], ['127.0.0.5', false], ['127.0.0.6', false], ['127.0.0.7', false]),
)
const both = (...lines: string[]) => listen('bind [2001:db8::1]:<0>', `server a ${A}`, ...lines)
const v6 = (mayPass: boolean) => said(mayPass ? `${A} ${bare}` : none, { to: '[2001:db8::1]:<0>' })
same(
  'IPv6 prefixes hold mapped IPv4 addresses: ::/0 is everybody',
  both('tcp-request connection reject unless { src ::/0 }'),
  ...from(['127.0.0.1', true]),
  v6(true),
)
same(
  'a mapped prefix is one of IPv4',
  both('tcp-request connection reject if { src ::ffff:127.0.0.4/126 }'),
  ...from(['127.0.0.1', true], ['127.0.0.5', false]),
  v6(true),
)
same(
  '0.0.0.0/0 is IPv4 alone',
  both('tcp-request connection reject if { src 0.0.0.0/0 }'),
  ...from(['127.0.0.1', false]),
  v6(true),
)
same(
  "a backend's rules, and those of a listen that is one",
  `${defaults}frontend f
 bind 127.0.0.1:<0>
 default_backend l
listen l
 bind 127.0.0.1:<1>
 tcp-request connection reject if { src 127.0.0.4 }
 tcp-request content reject if { src 127.0.0.5 }
 server a ${A}
`,
  ...from(['127.0.0.4', true], ['127.0.0.5', false]),
  said(none, { to: '127.0.0.1:<1>', from: '127.0.0.4' }),
)
same(
  'rules of a defaults section come first, and its acls are its own',
  `defaults d
 mode tcp
${timeouts} acl who src 127.0.0.5
 tcp-request connection reject if { src 127.0.0.7 }
frontend f from d
 acl who src 127.0.0.6
 tcp-request connection reject if who
 bind 127.0.0.1:<0>
 default_backend b
${defaults}backend b
 server a ${A}
`,
  ...from(['127.0.0.5', true], ['127.0.0.6', false], ['127.0.0.7', false]),
)
refused(
  'short prefixes',
  rules('connection reject if { src 127/8 }'),
  [
    'haproxy.cfg:9: error: found "connection reject if { src 127/8 }"; 127/8 is 0.0.0.127/8 to HAProxy; write that, or 127.0.0.0/8 if you mean it',
  ],
  ...from(['127.0.0.1', true]),
)
refused(
  'masks in full',
  rules('connection reject if { src 127.0.0.4/255.255.255.252 }'),
  [
    'haproxy.cfg:9: error: found "connection reject if { src 127.0.0.4/255.255.255.252 }"; 127.0.0.4/255.255.255.252 is no prefix; write 127.0.0.4/30',
  ],
  ...from(['127.0.0.1', true], ['127.0.0.5', false]),
)
refused(
  'several conditions',
  rules('connection reject if { src 127.0.0.5 } || { src 127.0.0.6 }'),
  [
    'haproxy.cfg:9: error: found "connection reject if { src 127.0.0.5 } || { src 127.0.0.6 }"; allowed: one condition, if or unless { src PREFIX… }; filter by anything else in the firewall or the reverse proxy',
  ],
  ...from(['127.0.0.1', true], ['127.0.0.5', false], ['127.0.0.6', false]),
)

// Which server gets a connection.

const servers = (...lines: string[]) => listen(...lines)
const turns = (...at: string[]) => said(at.map(place => `${place} ${bare}`).join(', '), { times: at.length })
same(
  'roundrobin without a word',
  servers(`server a ${A}`, `server b ${B}`, `server c ${C}`),
  turns(A, B, C, A),
)
same('static-rr', servers('balance static-rr', `server a ${A}`, `server b ${B}`), turns(A, B, A))
same('first', servers('balance first', `server a ${A}`, `server b ${B}`), turns(A, A, A))
same('leastconn', servers('balance leastconn', `server a ${A}`, `server b ${B}`), turns(A, B, A))
same(
  'the last balance, maxconn and mode count',
  servers(
    'balance leastconn',
    'maxconn 1',
    'mode http',
    'mode tcp',
    'maxconn 50',
    'balance first',
    `server a ${A}`,
    `server b ${B}`,
  ),
  turns(A, A, A),
)
same(
  'disabled and enabled',
  servers(
    'default-server disabled',
    `server a ${A}`,
    `server b ${B} enabled`,
    `server c ${C} enabled disabled`,
  ),
  turns(B, B),
)
same(
  'a server that is down gets nothing, and a backup takes over, wherever it stands',
  servers(
    'default-server check inter 100ms fall 1 rise 1',
    `server b ${B} backup`,
    'server a 127.1.0.1:7999',
    `server c ${C} backup`,
  ),
  { ...turns(B, B), isEventual: true },
)
same(
  'default_backend goes before the servers of a listen',
  `${listen(`server a ${A}`, 'default_backend b')}backend b\n server b ${B}\n`,
  turns(B),
)
same(
  'default_backend of a defaults section',
  `${defaults} default_backend b
frontend f
 bind 127.0.0.1:<0>
listen l
 bind 127.0.0.1:<1>
 server a ${A}
backend b
 server b ${B}
`,
  turns(B),
  said(`${B} ${bare}`, { to: '127.0.0.1:<1>' }),
)
same(
  'a listen without bind is a backend',
  `${defaults}frontend f\n bind 127.0.0.1:<0>\n default_backend l\nlisten l\n server b ${B}\n`,
  turns(B),
)
const later = { waits: 1000, after: 1000 }
for (const lines of [
  [`server a ${A} check inter 100ms fall 1 check-ssl verify none no-check-ssl`],
  ['default-server check-ssl verify none', `server a ${A} check inter 100ms fall 1 no-check-ssl`],
  [`server a ${A} ssl verify none no-ssl check inter 100ms fall 1`],
  ['option httpchk', 'option tcp-check', `server a ${A} check inter 100ms fall 1`],
  ['tcp-check expect string nothing', `server a ${A} check inter 100ms fall 1`],
  [`server a ${A} port 7999`],
])
  same(`checks: ${lines.join('; ')}`, servers(...lines), said(`${A} ${bare}`, later), turns(A))
refused(
  'a check of another port',
  servers(`server a ${A} check port 7999 inter 100ms fall 1`),
  ['haproxy.cfg:8: error: found port at a server; a check is a TCP connect to the target; remove them'],
  { ...said(none), isEventual: true },
)
refused(
  'a check beyond a connect',
  servers('option ssl-hello-chk', `server a ${A} check inter 100ms fall 1`),
  ['haproxy.cfg:8: error: found option ssl-hello-chk; a check is a TCP connect to the target, remove it'],
  { ...said(none), isEventual: true },
)
refused(
  'a backup beside a server that nothing checks',
  servers('server a 127.1.0.1:7999', `server b ${B} backup`),
  [
    'haproxy.cfg:9: error: found a backup beside a server without check; HAProxy never uses it, as nothing tells it that the server is down: add check, or remove the backup',
  ],
  said(none),
)
refused(
  'weights of nothing',
  servers(`server a ${A} weight 0`),
  ['haproxy.cfg:8: error: found "0" as weight; allowed: a whole number above 0'],
  said(none),
)
refused(
  'numbers with an error are not compared with those of other servers',
  servers(`server a ${A} check inter 3s rise 4 weight 10`, `server b ${B} check inter 5s weight 0`),
  [
    'haproxy.cfg:9: error: found "0" as weight; allowed: a whole number above 0',
    'haproxy.cfg:9: error: found another inter than at line 8; one is for all targets, make them equal',
    'haproxy.cfg:9: error: found another rise than at line 8; one is for all targets, make them equal',
  ],
)
refused('balance by source', servers('balance source', `server a ${A}`, `server b ${B}`), [
  'haproxy.cfg:8: error: found balance source; allowed: roundrobin, leastconn, first',
])

// Where clients connect.

const bind = (...binds: string[]) =>
  `${defaults}listen l\n${binds.map(bind => ` bind ${bind}\n`).join('')} server a ${A}\n`
const binds = [
  [['*:PORT'], 4],
  [[':PORT'], 4],
  [['ipv4@:PORT'], 4],
  [[':::PORT'], 46],
  [['[::]:PORT v4v6'], 46],
  [['ipv6@:PORT'], 46],
  [['*:PORT', ':::PORT v6only'], 46],
  [['127.0.0.1:PORT,::1:PORT'], 46],
  [['127.0.0.1:PORT alpn h2 strict-sni verify none ssl-min-ver TLSv1.2 level admin mode 600'], 4],
] as const
same(
  'which families a bind takes, and which parameters mean nothing',
  eachOf(
    binds.map(([lines], i) => [
      ...lines.map(line => `bind ${line.replaceAll('PORT', `<${i}>`)}`),
      `server a ${A}`,
    ]),
  ),
  ...binds.flatMap(([, families], i) => [
    said(`${A} ${bare}`, { to: `127.0.0.1:<${i}>` }),
    said(families === 46 ? `${A} ${bare}` : none, { to: `[::1]:<${i}>` }),
  ]),
)
same(
  'a range to the same ports, and an offset',
  `${defaults}listen m
 bind 127.0.0.1:7100-7101
 server b 127.1.0.2
listen n
 bind 127.0.0.1:6990
 server c 127.1.0.3:+10
`,
  said(`127.1.0.2:7101 ${bare}`, { to: '127.0.0.1:7101' }),
  said(`${C} ${bare}`, { to: '127.0.0.1:6990' }),
)
refused(
  'a range to one port',
  bind('127.0.0.1:<0>-<2>'),
  [
    'haproxy.cfg:8: error: found a port for the range <0>-<2>; leave it out for the same ports, or write a bind for each port',
  ],
  said(`${A} ${bare}`, { to: '127.0.0.1:<2>' }),
)
refused(
  'v6only alone',
  bind(':::<0> v6only'),
  [
    'haproxy.cfg:7: error: found v6only; a listener on every IPv6 address takes IPv4, too: name the address, or add a bind on *',
  ],
  said(none),
  said(`${A} ${bare}`, { to: '[::1]:<0>' }),
)

// How words are written.

same('quotes, escapes and comments', listen(`server 'a' "127.1.0.1":\\x37000 "send-proxy" # no more`), v1)

// What has no effect.

same(
  'parameters, options and sections without effect',
  `global
 fd-hard-limit 50000
 no strict-limits
 insecure-fork-wanted
 no numa-cpu-mapping
 setenv A b
 external-check
 log "\${NOWHERE-127.0.0.1}:514" local0
userlist u
 user admin insecure-password secret
cache c
 total-max-size 4
http-errors e
ring r
 size 32768
${listen(
  'option ssl-hello-chk',
  'http-check expect status 200',
  'http-request deny',
  'redirect scheme https',
  'hash-type consistent',
  'no option independent-streams',
  'no option nolinger',
  `server a ${A} check-ssl verify none ciphers AES port 1 agent-port 5 pool-max-conn 5`,
)}.notice "it starts"
backend unused
 mode http
 cookie SRV insert
 server w 127.1.0.2:80 cookie w
listen off
 disabled
 bind 127.0.0.1:<1>
 source 127.0.0.1
 server a ${A}
`,
  said(`${A} ${bare}`),
  said(none, { to: '127.0.0.1:<1>' }),
)

// All errors in one run, and none that follows from another.

refused(
  'a frontend that only redirects',
  `${bind('127.0.0.1:<0>')}frontend web
 mode http
 bind :80
 bind :8080
 http-request redirect scheme https
`,
  [
    "haproxy.cfg:9: error: found mode http (line 10) for frontend web; allowed: mode tcp. HTTP is the reverse proxy's work: leave the section out, and forward port 80, 8080 to the reverse proxy",
  ],
)
refused('a check within TLS', listen(`server a ${A} check check-ssl verify none inter 200ms`), [
  'haproxy.cfg:8: error: found check-ssl, verify at a server; a check is a TCP connect to the target; remove them',
])
refused(
  'TLS to a server, and at a bind',
  listen(`server a ${A} ssl verify none sni str(a) weight 0 source 127.0.0.1 check`),
  [
    'haproxy.cfg:8: error: found "0" as weight; allowed: a whole number above 0',
    'haproxy.cfg:8: error: found "source" at a server; the kernel\'s routes choose the source; remove it and add a route or a rule for it',
    'haproxy.cfg:8: error: found ssl, verify, sni at a server; TLS ends at the reverse proxy behind the target; remove them',
  ],
)
refused(
  'a block that depends on where HAProxy runs',
  `${defaults}listen l
 bind 127.0.0.1:<0>
.if defined(NOWHERE)
 server a ${A}
.else
 .if defined(PATH)
 server b ${B} source 127.0.0.1
 .endif
.endif
`,
  [
    'haproxy.cfg:8: error: found .if, whose branch depends on where HAProxy runs; keep the lines of one branch and remove the rest, up to .endif (line 14)',
  ],
  turns(B),
)
refused(
  'lines that cannot be read are not missing elsewhere',
  `${defaults}frontend f
 bind "127.0.0.1:\${NOWHERE-<0>}"
 default_backend b
backend b
 server a "\${NOWHERE-${A}}"
`,
  [
    'haproxy.cfg:7: error: found an environment variable; write its value, or \\$ for a dollar sign',
    'haproxy.cfg:10: error: found an environment variable; write its value, or \\$ for a dollar sign',
  ],
  turns(A),
)
refused('checks by HTTP', listen('option httpchk', 'http-check expect status 200', `server a ${A} check`), [
  'haproxy.cfg:8: error: found option httpchk; a check is a TCP connect to the target, remove it',
])

// Time limits.

const limits = (values: string, port: number) =>
  `defaults
 mode tcp
 timeout connect 2s
${values
  .split(', ')
  .map(value => ` timeout ${value}\n`)
  .join('')}listen l
 bind 127.0.0.1:<0>
 server a 127.1.0.1:${port}
`
const slowAnswer = `127.1.0.1:7010 ${bare}`
const silent = (after: number) => said(none, { after })
const halfClosed = (after: number) => said(none, { after, ends: true })
for (const [values, ...cases] of [
  // What must not count is 1h, for which no test waits.
  ['client 1s, server 1s', silent(1000), halfClosed(1000)],
  ['client 1s, server 1s, tunnel 0, client-fin 0, server-fin 0', silent(1000), halfClosed(1000)],
  ['client 1h, server 2h, tunnel 1s', silent(1000), halfClosed(1000)],
  ['client 1s, server 1s, tunnel 3s', silent(3000), halfClosed(3000)],
  ['client 1h, server 1h, client-fin 1s, server-fin 1s', halfClosed(1000)],
  ['client 2h, server 1h, tunnel 3s, client-fin 1000, server-fin 1000', silent(3000), halfClosed(1000)],
  ['client 0, server 0, client-fin 1s, server-fin 1s', halfClosed(1000)],
] as const)
  same(`timeout ${values}`, limits(values, 7030), ...cases)
same(
  'a half-closed connection has as long as an open one',
  limits('client 3s, server 3s', 7010),
  said(slowAnswer, { ends: true, after: 1500 }),
)
refused(
  'each side has its own limit, and ends alone',
  limits('client 1s, server 3s', 7040),
  [
    'haproxy.cfg:5: error: found timeout client 1s (line 4) and timeout server 3s (line 5); HAProxy ends one direction after the one and the other after the other, a forward both at once: make them equal, or add timeout tunnel, which stands for both',
  ],
  said('the end', { after: 1000 }),
)
refused(
  'one side has a limit of its own behind the end of the other',
  limits('client 3s, server 3s, client-fin 1s', 7010),
  [
    'haproxy.cfg:6: error: found timeout client-fin 1s (line 6) and no timeout server-fin, so 3s; HAProxy ends one direction after the one and the other after the other, a forward both at once: make them equal',
  ],
  said(slowAnswer, { ends: true, after: 1500 }),
)
refused(
  'longer behind the end of the other than open',
  limits('client 1s, server 1s, client-fin 3s, server-fin 3s', 7010),
  [
    'haproxy.cfg:6: error: found timeout client-fin 3s (line 6) and timeout server-fin 3s (line 7), longer than an open connection may be silent, 1s; a forward ends both then: make it no longer',
  ],
  said(none, { after: 1000 }),
  said(slowAnswer, { ends: true, after: 1500 }),
)
refused(
  'a time in two units',
  limits('client 1s5, server 1s', 7030),
  [
    'haproxy.cfg:4: error: found "1s5" as timeout client; HAProxy takes no more of it than 1s: write it in one unit; allowed: a duration such as 30s',
  ],
  silent(1000),
)

export const haproxyFiles: readonly Row[] = rows
