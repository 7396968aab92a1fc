import type { Ledger } from './ledger.ts'
import type { ProxySection, Setting, TimeoutName } from './proxy.ts'
import { formatTime } from './time.ts'
import type { Entry } from './yaml.ts'

/** `timeouts` of a forward: what the client's side says of the client, and the server's of the server. */
export function timeoutsOf(frontend: ProxySection, backend: ProxySection, ledger: Ledger): Entry[] {
  const { client, 'client-fin': clientFin } = frontend.timeouts
  const { connect, server, tunnel, 'server-fin': serverFin } = backend.timeouts
  const entries = [
    ...connectOf(connect, ledger),
    ...headerOf(frontend, ledger),
    // Once data flows both ways HAProxy goes by this one alone.
    ...(tunnel === undefined
      ? larger('idle', ['client', client], ['server', server], ledger)
      : [idleOf(tunnel, [client, server])]),
    ...larger('halfClosed', ['client-fin', clientFin], ['server-fin', serverFin], ledger),
  ]
  return entries.length > 0 ? [{ key: 'timeouts', value: entries, lines: [] }] : []
}

function connectOf(connect: Setting<number> | undefined, ledger: Ledger): Entry[] {
  if (connect === undefined) return []
  if (connect.value > 0) return [{ key: 'connect', value: formatTime(connect.value), lines: [connect.line] }]
  ledger.warn(connect.line, 'found no limit to timeout connect; it becomes the default, 5s')
  ledger.leaveOut(connect.line, 'a connect always has a limit')
  return []
}

/** What HAProxy waits for first bytes; a forward does for routes alone. */
function headerOf({ inspectDelay, routing }: ProxySection, ledger: Ledger): Entry[] {
  if (inspectDelay === undefined) return []
  const { value, line } = inspectDelay
  if (routing.length === 0 || value === 0) ledger.leaveOut(line, 'nothing waits for the first bytes here')
  else return [{ key: 'header', value: formatTime(value), lines: [line] }]
  return []
}

function idleOf(tunnel: Setting<number>, superseded: readonly (Setting<number> | undefined)[]): Entry {
  const lines = [tunnel.line, ...superseded.flatMap(setting => setting?.line ?? [])]
  return {
    key: 'idle',
    value: limitText(tunnel.value || Number.POSITIVE_INFINITY),
    lines,
    remark: `timeout tunnel, line ${tunnel.line}`,
  }
}

type Side = readonly [TimeoutName, Setting<number> | undefined]

/** A forward has one limit for both directions, so the one that ends no connection too early. */
function larger(key: 'idle' | 'halfClosed', one: Side, other: Side, ledger: Ledger): Entry[] {
  const given = [one, other].flatMap(([name, setting]) =>
    setting === undefined ? [] : [{ name, ...setting }],
  )
  const [first, second] = given
  if (first === undefined) return []
  const values = given.map(({ value }) => (value === 0 ? Number.POSITIVE_INFINITY : value))
  // Without a limit of its own a half-closed connection has that of the open one, idle.
  if (second === undefined && key === 'idle') values.push(Number.POSITIVE_INFINITY)
  const most = Math.max(...values)
  const value = most === Number.POSITIVE_INFINITY && key === 'halfClosed' ? '576h' : limitText(most)
  if (values.some(value => value !== most)) {
    const absent = first.name === one[0] ? other[0] : one[0]
    const beside =
      second === undefined
        ? `no timeout ${absent}`
        : `timeout ${second.name} ${limitText(values[1]!)} (line ${second.line})`
    ledger.warn(
      first.line,
      `found timeout ${first.name} ${limitText(values[0]!)} and ${beside}; a forward has one, timeouts.${key}: ${value}`,
    )
  }
  const lines = given.map(({ line }) => line)
  return [{ key, value, lines }]
}

function limitText(ms: number): string {
  return ms === Number.POSITIVE_INFINITY ? 'none' : formatTime(ms)
}
