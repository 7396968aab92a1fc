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
const ENVIRONMENT = 'for lines that name a variable, which are errors where they have an effect'
const HASH = 'no balance by hash is carried over'
const CHECKS = 'about external checks, which are none here'
const OFF_HERE = 'off here, too'

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
      'noreuseport nosplice nogetaddrinfo nokqueue noevports no-memory-trimming fd-hard-limit prealloc-fd insecure-fork-wanted',
      'insecure-setuid-wanted expose-experimental-directives max-spread-checks maxcompcpuusage maxcomprate maxsslrate maxzlibmem',
      'mworker-max-reloads cluster-secret default-path h1-accept-payload-with-any-method h1-case-adjust-file issuers-chain-path',
      'h2-workaround-bogus-websocket-clients pp2-never-send-local ssl-engine ssl-load-extra-del-ext ssl-load-extra-files',
      'ssl-mode-async ssl-propquery ssl-provider ssl-provider-path ssl-skip-self-issued-ca httpclient./ profiling./ tune./',
    ]
      .join(' ')
      .split(' ')
      .map(name => [name, PROCESS]),
  ),
  ...Object.fromEntries(
    'setenv presetenv resetenv unsetenv'.split(' ').map(name => [name, ENVIRONMENT] as const),
  ),
  'external-check': CHECKS,
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
  abortonclose: KERNEL,
  forwardfor: HTTP_ONLY,
  httpclose: HTTP_ONLY,
  'http-server-close': HTTP_ONLY,
  'http-keep-alive': HTTP_ONLY,
  'http-ignore-probes': HTTP_ONLY,
  'http-no-delay': HTTP_ONLY,
  'http-use-htx': HTTP_ONLY,
  ...Object.fromEntries(
    [
      'accept-invalid-http-request accept-invalid-http-response checkcache disable-h2-upgrade h1-case-adjust-bogus-client',
      'h1-case-adjust-bogus-server http-buffer-request http-pretend-keepalive http-restrict-req-hdr-names http-tunnel',
      'http-use-proxy-header httpslog idle-close-on-response originalto prefer-last-server',
    ]
      .join(' ')
      .split(' ')
      .map(name => [name, HTTP_ONLY]),
  ),
}

/** Options that change a forward, so only `no option` is nothing. */
const offHere = ['allbackups', 'independent-streams', 'independant-streams', 'nolinger', 'transparent']

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
  'load-server-state-from-file': PROCESS,
  'server-state-file-name': PROCESS,
  'bind-process': PROCESS,
  'error-log-format': LOGS,
  'unique-id-format': LOGS,
  'email-alert': LOGS,
  'clitcpka-/': KERNEL,
  'srvtcpka-/': KERNEL,
  'external-check': CHECKS,
  'hash-type': HASH,
  'hash-balance-factor': HASH,
  ...Object.fromEntries(
    [
      'capture compression cookie declare dynamic-cookie-key errorfiles http-after-response http-error http-request http-response',
      'http-send-name-header max-keep-alive-queue max-session-srv-conns monitor monitor-uri redirect retry-on stats unique-id-header',
    ]
      .join(' ')
      .split(' ')
      .map(name => [name, HTTP_ONLY]),
  ),
}

export function globalReason(words: readonly string[]): string | undefined {
  return reasonOf(globals, words[0] === 'no' ? words.slice(1) : words)
}

/** @param words the directive's name and arguments; `option NAME` and `no option NAME` included. */
export function proxyReason(words: readonly string[]): string | undefined {
  if (words[0] === 'no' && words[1] === 'option')
    return offHere.includes(words[2] ?? '') ? OFF_HERE : proxyReason(words.slice(1))
  if (words[0] === 'no' && words[1] === 'log') return words.length === 2 ? LOGS : undefined
  if (words[0] !== 'option') return reasonOf(proxies, words)
  return Object.hasOwn(options, words[1] ?? '') ? options[words[1]!] : undefined
}

/** One word, two words (`timeout queue`) or the whole line is the key. */
function reasonOf(reasons: Readonly<Record<string, string>>, words: readonly string[]): string | undefined {
  // There is none behind a bare `no`.
  const [first = ''] = words
  const prefixes = Object.keys(reasons).filter(key => key.endsWith('/'))
  const key =
    [first, words.slice(0, 2).join(' '), words.join(' ')].find(key => Object.hasOwn(reasons, key)) ??
    prefixes.find(key => first.startsWith(key.slice(0, -1)))
  return key === undefined ? undefined : reasons[key]
}
