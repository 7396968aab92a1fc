/**
 * What of a haproxy.cfg the forwards do without, and why. A `/` at the end of a key stands for any continuation, an
 * option is under its own name.
 */

const PROCESS = 'about the HAProxy process'
const LOGS = 'this program logs JSON on stdout, one line per connection'
const HTTP_ONLY = 'HTTP only'
const KERNEL = 'left to this program and the kernel'
const DEFAULT_HERE = 'always so here'
const RETRIES = "a connect is tried on the target's next address"
const HELLO = 'routes wait for the ClientHello by themselves'

const globals: Readonly<Record<string, string>> = {
  log: LOGS,
  'log-tag': LOGS,
  'log-send-hostname': LOGS,
  stats: 'wg-punchhole status and admin.listen show what runs',
  maxconn: 'the size of the HAProxy process; limits are per forward here',
  ...Object.fromEntries(
    [
      'ca-base cpu-map crt-base chroot daemon description gid group h1-case-adjust localpeer',
      'master-worker maxpipes maxsslconn nbproc nbthread nice node numa-cpu-mapping pidfile quiet',
      'server-state-base server-state-file set-dumpable spread-checks ssl-default-bind-ciphers',
      'ssl-default-bind-ciphersuites ssl-default-bind-options ssl-default-bind-curves ssl-default-server-ciphers',
      'ssl-default-server-ciphersuites ssl-default-server-options ssl-dh-param-file ssl-server-verify',
      'strict-limits thread-groups uid ulimit-n unix-bind user zero-warning busy-polling noepoll nopoll',
      'noreuseport nosplice nogetaddrinfo tune./',
    ]
      .join(' ')
      .split(' ')
      .map(name => [name, PROCESS]),
  ),
}

const options: Readonly<Record<string, string>> = {
  tcplog: LOGS,
  httplog: LOGS,
  dontlognull: LOGS,
  'dontlog-normal': LOGS,
  'log-separate-errors': LOGS,
  logasap: LOGS,
  contstats: LOGS,
  'socket-stats': LOGS,
  redispatch: RETRIES,
  persist: RETRIES,
  tcpka: DEFAULT_HERE,
  clitcpka: DEFAULT_HERE,
  srvtcpka: DEFAULT_HERE,
  'tcp-smart-accept': KERNEL,
  'tcp-smart-connect': KERNEL,
  'splice-auto': KERNEL,
  'splice-request': KERNEL,
  'splice-response': KERNEL,
  'log-health-checks': LOGS,
  'tcp-check': 'a check is a TCP connect',
  abortonclose: KERNEL,
  forwardfor: HTTP_ONLY,
  httpclose: HTTP_ONLY,
  'http-server-close': HTTP_ONLY,
  'http-keep-alive': HTTP_ONLY,
  'http-ignore-probes': HTTP_ONLY,
  'http-no-delay': HTTP_ONLY,
  'http-use-htx': HTTP_ONLY,
}

const proxies: Readonly<Record<string, string>> = {
  log: LOGS,
  'log-format': LOGS,
  'log-format-sd': LOGS,
  'log-tag': LOGS,
  retries: RETRIES,
  backlog: KERNEL,
  description: 'a remark',
  id: 'a number for statistics',
  fullconn: 'no server has a dynamic limit here',
  errorfile: HTTP_ONLY,
  'errorloc/': HTTP_ONLY,
  'http-reuse': HTTP_ONLY,
  'timeout http-request': HTTP_ONLY,
  'timeout http-keep-alive': HTTP_ONLY,
  'timeout tarpit': HTTP_ONLY,
  'timeout queue': 'nothing waits in a queue here',
  'timeout check': 'a check has the time of a connect',
  'tcp-request content accept if { req.ssl_hello_type 1 }': HELLO,
  'tcp-request content accept if { req_ssl_hello_type 1 }': HELLO,
  'load-server-state-from-file': PROCESS,
}

export function globalReason(words: readonly string[]): string | undefined {
  return reasonOf(globals, words)
}

/** @param words the directive's name and arguments; `option NAME` and `no option NAME` included. */
export function proxyReason(words: readonly string[]): string | undefined {
  if (words[0] === 'no' && words[1] === 'option') return proxyReason(words.slice(1))
  if (words[0] === 'no' && words[1] === 'log') return words.length === 2 ? LOGS : undefined
  if (words[0] !== 'option') return reasonOf(proxies, words)
  return Object.hasOwn(options, words[1] ?? '') ? options[words[1]!] : undefined
}

/** One word, two words (`timeout queue`) or the whole line is the key. */
function reasonOf(reasons: Readonly<Record<string, string>>, words: readonly string[]): string | undefined {
  const prefixes = Object.keys(reasons).filter(key => key.endsWith('/'))
  const key =
    [words[0]!, words.slice(0, 2).join(' '), words.join(' ')].find(key => Object.hasOwn(reasons, key)) ??
    prefixes.find(key => words[0]!.startsWith(key.slice(0, -1)))
  return key === undefined ? undefined : reasons[key]
}
