import type { Ledger } from './ledger.ts'
import type { ProxySection, TimeoutName } from './proxy.ts'
import { formatTime, longest, type Setting } from './time.ts'
import type { Entry } from './yaml.ts'

/**
 * `timeouts` of a forward. HAProxy has a limit for each side: when the client has been silent for `timeout client`, the
 * server gets an end, and when the server has been for `timeout server`, the client does. `timeout tunnel` stands for
 * both. When one direction has ended, `client-fin` and `server-fin` stand for them. A forward ends the whole connection,
 * so both sides have to say the same.
 */
export function timeoutsOf(frontend: ProxySection, backend: ProxySection, ledger: Ledger): Entry[] {
  const open = openOf(frontend, backend, ledger)
  // What is not known is neither equal nor another.
  const isKnown = !frontend.failed.has('timeout') && !backend.failed.has('timeout')
  const isSame =
    isKnown && areEqual(open, 'make them equal, or add timeout tunnel, which stands for both', ledger)
  const entries = [
    ...connectOf(backend.timeouts.connect, ledger),
    ...headerOf(frontend, ledger),
    ...(isSame ? [...idleOf(open, frontend, backend), ...halfClosedOf(open, frontend, backend, ledger)] : []),
  ]
  return entries.length > 0 ? [{ key: 'timeouts', value: entries, lines: [] }] : []
}

/** What a forward has where nothing is said, `timeouts.halfClosed`. */
const halfClosedDefault = 5 * 60_000

/** How long one side may be silent. */
interface Limit {
  readonly name: TimeoutName
  /** Milliseconds; infinite without one. */
  readonly ms: number
  /** `undefined`: not said, or 0, which is the same. */
  readonly line: number | undefined
}

type Sides = readonly [client: Limit, server: Limit]

function limitOf({ timeouts }: ProxySection, name: TimeoutName, instead: number): Limit {
  const setting = timeouts[name]
  return setting !== undefined && setting.value > 0
    ? { name, ms: setting.value, line: setting.line }
    : { name, ms: instead, line: undefined }
}

function openOf(frontend: ProxySection, backend: ProxySection, ledger: Ledger): Sides {
  leaveOutZeros(backend, ['tunnel'], ledger)
  const tunnel = limitOf(backend, 'tunnel', Number.POSITIVE_INFINITY)
  if (tunnel.line !== undefined) return [tunnel, tunnel]
  return [
    limitOf(frontend, 'client', Number.POSITIVE_INFINITY),
    limitOf(backend, 'server', Number.POSITIVE_INFINITY),
  ]
}

/** The side that is left keeps its limit of the open connection, unless it gets one of its own. */
function closingOf(
  [client, server]: Sides,
  frontend: ProxySection,
  backend: ProxySection,
  ledger: Ledger,
): Sides {
  leaveOutZeros(frontend, ['client-fin'], ledger)
  leaveOutZeros(backend, ['server-fin'], ledger)
  return [limitOf(frontend, 'client-fin', client.ms), limitOf(backend, 'server-fin', server.ms)]
}

function leaveOutZeros({ timeouts }: ProxySection, names: readonly TimeoutName[], ledger: Ledger): void {
  for (const name of names) {
    const setting = timeouts[name]
    if (setting?.value === 0) ledger.leaveOut(setting.line, '0 is as if it were not there')
  }
}

function areEqual([client, server]: Sides, fix: string, ledger: Ledger): boolean {
  if (client.ms === server.ms) return true
  ledger.error(
    Math.max(client.line ?? 0, server.line ?? 0),
    `found ${describe(client)} and ${describe(server)}; HAProxy ends one direction after the one and the other after the other, a forward both at once: ${fix}`,
  )
  return false
}

/** `timeout client 10m (line 5)`, `no timeout server`, `no timeout server-fin, so 10m`. */
function describe({ name, ms, line }: Limit): string {
  if (line !== undefined) return `timeout ${name} ${formatTime(ms)} (line ${line})`
  return `no timeout ${name}${ms === Number.POSITIVE_INFINITY ? '' : `, so ${formatTime(ms)}`}`
}

function connectOf(connect: Setting<number> | undefined, ledger: Ledger): Entry[] {
  if (connect === undefined) return []
  if (connect.value > 0) return [{ key: 'connect', value: formatTime(connect.value), lines: [connect.line] }]
  ledger.warn(connect.line, 'found no limit to timeout connect; it becomes the default, 5s')
  ledger.leaveOut(connect.line, 'a connect always has a limit')
  return []
}

/** What HAProxy waits for first bytes; a forward does for routes alone. */
function headerOf({ inspectDelay, routing, defaultBackend, kind }: ProxySection, ledger: Ledger): Entry[] {
  if (inspectDelay === undefined) return []
  const { value, line } = inspectDelay
  if (routing.length === 0 || value === 0) {
    ledger.leaveOut(line, 'nothing waits for the first bytes here')
    return []
  }
  if (defaultBackend !== undefined || kind === 'listen')
    ledger.warn(
      line,
      `found tcp-request inspect-delay; who sends nothing for ${formatTime(value)} goes to the default backend there, and is reset here: a protocol in which the server speaks first needs a forward of its own`,
    )
  return [{ key: 'header', value: formatTime(value), lines: [line] }]
}

function idleOf([{ name, ms, line }]: Sides, frontend: ProxySection, backend: ProxySection): Entry[] {
  const said = [frontend.timeouts.client, backend.timeouts.server].flatMap(setting => setting?.line ?? [])
  const isTunnel = name === 'tunnel' && line !== undefined
  if (said.length === 0 && !isTunnel) return []
  return [
    {
      key: 'idle',
      value: ms === Number.POSITIVE_INFINITY ? 'none' : formatTime(ms),
      lines: isTunnel ? [line, ...said] : said,
      ...(isTunnel && { remark: `timeout tunnel, line ${line}` }),
    },
  ]
}

/** Within `idle`: a forward takes the shorter one. */
function halfClosedOf(open: Sides, frontend: ProxySection, backend: ProxySection, ledger: Ledger): Entry[] {
  const closing = closingOf(open, frontend, backend, ledger)
  if (!areEqual(closing, 'make them equal', ledger)) return []
  const [{ ms }] = closing
  const [{ ms: idle }] = open
  const lines = closing.flatMap(({ line }) => line ?? [])
  if (ms > idle) {
    ledger.error(
      lines[0]!,
      `found ${closing
        .filter(({ line }) => line !== undefined)
        .map(describe)
        .join(
          ' and ',
        )}, longer than an open connection may be silent, ${formatTime(idle)}; a forward ends both then: make it no longer`,
    )
    return []
  }
  if (lines.length === 0 && ms <= halfClosedDefault) return []
  const value = formatTime(Math.min(ms, longest))
  return [{ key: 'halfClosed', value, lines, ...(lines.length === 0 && { remark: 'as an open connection' }) }]
}
