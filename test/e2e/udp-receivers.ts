import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Host, Lab, Running } from '../lab/lab.ts'
import { retry } from '../lab/retry.ts'

/**
 * Name servers that take a PROXY header over UDP, each on a port of 127.0.0.1 of one host, as docs/udp.md says. They are those of
 * Debian 12 and of Debian 13, unpacked by scripts/name-servers.sh, and CoreDNS, which scripts/go-tools.sh builds.
 */
export interface Receiver {
  /** As the table of docs/udp.md has it. */
  readonly name: string
  readonly suite: 'bookworm' | 'trixie' | 'go'
  readonly port: number
  /** What it is asked, so that it tells whom it sees; `id` makes the question known in its log. */
  asked(id: number, family: 4 | 6): { name: string; type: 'A' | 'AAAA' | 'TXT' }
  /** Whom it saw ask that, when it has replied. */
  saw(id: number, family: 4 | 6, reply: Buffer): Promise<string>
}

const { NAME_SERVERS, GO_TOOLS, XDG_CACHE_HOME = join(homedir(), '.cache') } = process.env
const trees = NAME_SERVERS ?? join(XDG_CACHE_HOME, 'wg-punchhole/name-servers')
const coredns = join(GO_TOOLS ?? join(XDG_CACHE_HOME, 'wg-punchhole/bin'), 'coredns')

interface Program {
  readonly name: string
  readonly suites: readonly ('bookworm' | 'trixie')[]
  readonly command: string
  /** File names and texts, in a folder of its own: its working directory is /tmp. */
  files(port: number, suite: string): Record<string, string>
  readonly shows: 'text' | 'address' | 'log' | 'acl'
}

const dnsdist = (port: number) => `setLocal("127.0.0.1:${port}")
setACL({"0.0.0.0/0", "::/0"})
setProxyProtocolACL({"127.0.0.0/8"})
setSecurityPollSuffix("")
addAction(AllRule(), LuaAction(function(dq)
  local client = dq.remoteaddr:toString()
  return DNSAction.SpoofRaw, string.char(#client) .. client
end))
`

const both = ['bookworm', 'trixie'] as const
const zone = `@ 60 IN SOA ns hostmaster 1 3600 600 86400 60\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n`

const programs: readonly Program[] = [
  {
    name: 'unbound',
    suites: both,
    command: 'unbound -d -c unbound.conf',
    shows: 'log',
    files: port => ({
      'unbound.conf': `server:
  interface: 127.0.0.1@${port}
  proxy-protocol-port: ${port}
  access-control: 127.0.0.0/8 allow
  access-control: 203.0.113.0/24 allow
  access-control: 2001:db8::/32 allow
  username: ""
  chroot: ""
  directory: "/tmp"
  pidfile: ""
  use-syslog: no
  log-queries: yes
  local-zone: "who.example." redirect
  local-data: 'who.example. TXT "here"'
  module-config: "iterator"
remote-control:
  control-enable: no
`,
    }),
  },
  {
    name: 'dnsdist',
    suites: both,
    command: 'dnsdist --supervised -C dnsdist.conf',
    shows: 'text',
    files: port => ({ 'dnsdist.conf': dnsdist(port) }),
  },
  {
    name: 'PowerDNS Recursor',
    suites: both,
    command: 'pdns_recursor --config-dir=/tmp',
    shows: 'text',
    files: (port, suite) => ({
      ...(suite === 'bookworm'
        ? {
            'recursor.conf': `local-address=127.0.0.1
local-port=${port}
proxy-protocol-from=127.0.0.0/8
allow-from=203.0.113.0/24, 2001:db8::/32
lua-dns-script=/tmp/who.lua
socket-dir=/tmp
security-poll-suffix=
hint-file=no
threads=1
write-pid=no
`,
          }
        : {
            'recursor.yml': `incoming:
  listen: ['127.0.0.1:${port}']
  proxy_protocol_from: [127.0.0.0/8]
  allow_from: [203.0.113.0/24, '2001:db8::/32']
recursor:
  lua_dns_script: /tmp/who.lua
  hint_file: no
  security_poll_suffix: ''
  socket_dir: /tmp
  threads: 1
  write_pid: false
`,
          }),
      // What is not variable is given to the next client from a cache.
      'who.lua': `function preresolve(dq)
  dq:addAnswer(pdns.TXT, '"' .. dq.remoteaddr:toString() .. '"')
  dq.variable = true
  dq.rcode = 0
  return true
end
`,
    }),
  },
  {
    name: 'PowerDNS Authoritative Server',
    suites: both,
    command: 'pdns_server --config-dir=/tmp',
    shows: 'text',
    files: port => ({
      'pdns.conf': `local-address=127.0.0.1
local-port=${port}
proxy-protocol-from=127.0.0.0/8
launch=bind
bind-config=/tmp/named.conf
enable-lua-records=yes
module-dir=/usr/lib/x86_64-linux-gnu/pdns
socket-dir=/tmp
security-poll-suffix=
write-pid=no
cache-ttl=0
query-cache-ttl=0
negquery-cache-ttl=0
`,
      'named.conf': 'zone "who.example" { type master; file "/tmp/zone"; };\n',
      zone: `${zone}* 60 IN LUA TXT "who:toString()"\n`,
    }),
  },
  {
    name: 'Knot DNS',
    suites: both,
    command: 'knotd -c knot.conf',
    shows: 'address',
    files: port => ({
      'knot.conf': `server:
    listen: 127.0.0.1@${port}
    proxy-allowlist: 127.0.0.0/8
    rundir: /tmp
    user: root:root
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
log:
  - target: stderr
    any: info
database:
    storage: /tmp/database
zone:
  - domain: who.example
    file: /tmp/zone
    zonefile-load: whole
    module: mod-whoami
`,
      zone,
    }),
  },
  {
    name: 'Knot Resolver',
    suites: both,
    command: 'kresd -n -c kresd.conf /tmp',
    shows: 'text',
    files: port => ({
      'kresd.conf': `net.listen('127.0.0.1', ${port}, { kind = 'dns' })
net.proxy_allowed({ '127.0.0.0/8' })
cache.size = 1 * MB
for _, name in ipairs({ 'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew' }) do modules.unload(name) end
trust_anchors.remove('.')
policy.add(policy.all(function(state, request)
  local client = tostring(request.qsource.addr)
  return policy.ANSWER({ [kres.type.TXT] = { rdata = string.char(#client) .. client, ttl = 0 } })(state, request)
end))
`,
    }),
  },
  {
    name: 'NSD',
    suites: ['trixie'],
    command: 'nsd -d -c nsd.conf',
    shows: 'acl',
    files: port => ({
      'nsd.conf': `server:
  ip-address: 127.0.0.1@${port}
  proxy-protocol-port: ${port}
  username: root
  zonesdir: /tmp
  pidfile: ""
  server-count: 1
  zonelistfile: /tmp/zone.list
  xfrdfile: /tmp/xfrd
  xfrdir: /tmp
remote-control:
  control-enable: no
zone:
  name: four.example
  zonefile: zone
  allow-query: 203.0.113.7 NOKEY
zone:
  name: six.example
  zonefile: zone
  allow-query: 2001:db8:1::7 NOKEY
`,
      zone: `${zone}* 60 IN TXT here\n`,
    }),
  },
  {
    name: 'BIND',
    suites: ['trixie'],
    command: 'named -g -n 1 -c named.conf',
    shows: 'log',
    files: port => ({
      'named.conf': `options {
  directory "/tmp"; pid-file none; session-keyfile "/tmp/session.key"; managed-keys-directory "/tmp";
  listen-on port ${port} proxy plain { 127.0.0.1; };
  listen-on-v6 { none; };
  allow-proxy { 127.0.0.0/8; };
  allow-query { any; };
  recursion no; dnssec-validation no; querylog yes;
};
controls { };
zone "who.example" { type primary; file "/tmp/zone"; };
`,
      zone: `${zone}* 60 IN TXT here\n`,
    }),
  },
]

/** The client that a log line with the question's name tells: of unbound, BIND and CoreDNS. */
const logged = (name: string) =>
  new RegExp(
    `info: (\\S+) ${name}|client @\\S+ (\\S+)#\\d+ \\(${name}|\\[INFO\\] \\[?(\\S+?)\\]?:\\d+ - .* ${name}`,
  )

/** Starts all of them, on ports from 7200 to 7399 that are tens. The lab is the caller's to close. */
export async function startReceivers(lab: Lab, host: Host): Promise<Receiver[]> {
  const receivers: Receiver[] = []
  let port = 7200
  for (const { name, suites, command, files, shows } of programs)
    for (const suite of suites) {
      const running = await startInTree(lab, host, suite, command, files(port, suite))
      receivers.push(receiver(name, suite, port, shows, running))
      port += 10
    }
  for (const [name, tracking] of [
    ['CoreDNS', ''],
    ['CoreDNS, `udp_session_tracking`', 'udp_session_tracking 28s'],
  ] as const) {
    if (!existsSync(coredns)) throw new Error(`${coredns} is not there: run scripts/go-tools.sh coredns`)
    const file = join(lab.folder, `Corefile-${port}`)
    const options = `allow 127.0.0.0/8\n    ${tracking}`
    await writeFile(
      file,
      `.:${port} {\n  bind 127.0.0.1\n  proxyproto {\n    ${options}\n  }\n  log\n  whoami\n}\n`,
    )
    receivers.push(receiver(name, 'go', port, 'log', host.start(coredns, ['-conf', file])))
    port += 10
  }
  return receivers
}

/** Starts a program of an unpacked Debian, with these files in its working directory, /tmp. */
export async function startInTree(
  lab: Lab,
  host: Host,
  suite: 'bookworm' | 'trixie',
  command: string,
  files: Readonly<Record<string, string>>,
): Promise<Running> {
  const tree = join(trees, suite)
  if (!existsSync(tree)) throw new Error(`${tree} is not there: run scripts/name-servers.sh`)
  const folder = await mkdtemp(join(lab.folder, 'tree-'))
  await mkdir(join(folder, 'database'))
  for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text)
  // In a mount namespace of its own: `ip netns exec` makes one.
  return host.start('sh', [
    '-c',
    `set -e; mount --bind ${folder} ${tree}/tmp; mount --rbind /dev ${tree}/dev; mkdir -p ${tree}/proc; mount -t proc proc ${tree}/proc
    exec unshare --root=${tree} --wd=/tmp ${command}`,
  ])
}

function receiver(
  name: string,
  suite: Receiver['suite'],
  port: number,
  shows: Program['shows'],
  running: Running,
): Receiver {
  const nameOf = (id: number, family: 4 | 6) =>
    shows === 'address'
      ? 'who.example'
      : `q${id}.${shows === 'acl' ? (family === 4 ? 'four' : 'six') : 'who'}.example`
  return {
    name,
    suite,
    port,
    asked: (id, family) => ({
      name: nameOf(id, family),
      type: shows === 'address' ? (family === 4 ? 'A' : 'AAAA') : 'TXT',
    }),
    async saw(id, family, reply) {
      if (shows === 'acl') return (reply[3]! & 15) === 0 ? clients[family] : 'another'
      // Without EDNS the record is the reply's last.
      if (shows === 'address') return addressOf(reply.subarray(family === 4 ? -4 : -16))
      if (shows === 'text')
        return /\d+(?:\.\d+){3}|[0-9a-f]+:[0-9a-f:]+/.exec(reply.toString('latin1', 12))?.[0] ?? 'nobody'
      const pattern = logged(nameOf(id, family))
      // A log line may come after the reply.
      return retry(async () => {
        const client = pattern
          .exec(running.output)
          ?.slice(1)
          .find(found => found !== undefined)
        if (client === undefined) throw new Error(`${name} has not logged ${pattern}: ${running.output}`)
        return client
      })
    },
  }
}

const clients = { 4: '203.0.113.7', 6: '2001:db8:1::7' } as const

function addressOf(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  return new URL(`http://[${bytes.toString('hex').match(/..../g)!.join(':')}]`).hostname.slice(1, -1)
}
