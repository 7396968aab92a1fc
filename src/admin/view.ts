import { styleText } from 'node:util'
import { formatBytes, formatSeconds } from '../amount.ts'
import type { TunnelStatus } from '../tunnel/status.ts'
import { stateOf } from '../upstream/status.ts'
import { visible } from '../visible.ts'
import { type Dated, type EndStatus, shortKey, targetText, targetTrouble } from './status.ts'

/** The status of one end as text for a person. */

export interface FormatOptions {
  readonly color: boolean
  /** Milliseconds since the epoch. */
  readonly now?: number
}

/** How many connections a person is shown. */
const shownConnections = 20

type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red'
type Cell = string | { readonly text: string; readonly style: Style }

/** The terminal view: lines without a trailing newline. */
export function formatStatus(status: EndStatus, { color, now = Date.now() }: FormatOptions): string {
  const age = (time: string | undefined) =>
    time === undefined ? 'never' : formatSeconds((now - Date.parse(time)) / 1000)
  const sections = [
    summary(status, age),
    status.tunnel === undefined ? [] : [...tunnelRows(status.tunnel, age)],
    status.tunnel === undefined ? [] : peerRows(status.tunnel, age),
    linkRows(status, age),
    forwardRows(status),
    connectionRows(status, age),
  ]
  return sections
    .filter(rows => rows.length > 0)
    .map(rows => align(rows, color).join('\n'))
    .join('\n\n')
}

type Age = (time: string | undefined) => string

function summary({ version, wireguardGo, node, startedAt, health }: EndStatus, age: Age): Cell[][] {
  const style = ({ ready: 'green', degraded: 'yellow', unready: 'red' } as const)[health.status]
  const versions = [`wg-punchhole ${version}`, wireguardGo && `wireguard-go ${wireguardGo}`, `Node ${node}`]
  return [
    [{ text: health.status, style }, `for ${age(startedAt)} up: ${versions.filter(Boolean).join(', ')}`],
    ...health.reasons.map(({ code, detail, since, behind }): Cell[] => [
      { text: `  ${code}`, style: behind === undefined ? style : 'dim' },
      `${detail} (${behind === undefined ? '' : `behind peer ${shortKey(behind)}, `}for ${age(since)})`,
    ]),
  ]
}

function tunnelRows(tunnel: Dated<TunnelStatus>, age: Age): Cell[][] {
  const { state, since, pid, restarts } = tunnel.process
  return [
    [{ text: 'tunnel', style: 'bold' }, tunnel.interface],
    [
      '  process',
      `${state} for ${age(since)}, pid ${pid ?? 'unknown'}, ${restarts} ${restarts === 1 ? 'restart' : 'restarts'}`,
    ],
    ['  public key', tunnel.publicKey],
    ['  addresses', tunnel.addresses.join(', ')],
    ['  listens on', tunnel.listenPort === undefined ? 'no port yet' : `udp ${tunnel.listenPort}`],
    ['  MTU', `${tunnel.mtu} B, congestion control ${tunnel.congestionControl}`],
  ]
}

function peerRows(tunnel: Dated<TunnelStatus>, age: Age): Cell[][] {
  const rows = tunnel.peers.map(peer => [
    shortKey(peer.publicKey),
    peer.endpoint ?? peer.configuredEndpoint ?? 'unknown',
    peer.path.rung === undefined ? peer.path.state : `${peer.path.state}: ${peer.path.rung}`,
    peer.path.rtt === undefined ? '-' : `${Math.round(peer.path.rtt)} ms`,
    age(peer.path.lastAnswer),
    age(peer.lastHandshake),
    formatBytes(peer.receivedBytes),
    formatBytes(peer.sentBytes),
    peer.keepalive === 0 ? 'off' : `${peer.keepalive} s`,
    peer.allowedIps.join(', '),
  ])
  return titled(
    ['peer', 'endpoint', 'path', 'RTT', 'answer', 'handshake', 'received', 'sent', 'keepalive', 'allowed'],
    rows,
  )
}

function linkRows({ links }: EndStatus, age: Age): Cell[][] {
  const rows = links.map(link => [
    link.address,
    link.role,
    { text: link.state, style: link.state === 'up' ? ('green' as const) : ('dim' as const) },
    link.since === undefined ? '-' : age(link.since),
    link.rtt === undefined ? '-' : `${Math.round(link.rtt)} ms`,
    `${link.streams}`,
    `${link.promoted}`,
  ])
  return titled(['link', 'role', 'state', 'age', 'RTT', 'streams', 'promoted'], rows)
}

function forwardRows({ forwards }: EndStatus): Cell[][] {
  const style = { up: 'green', down: 'red', unknown: 'dim' } as const
  const rows = forwards.flatMap((forward): Cell[][] => {
    const { targets } = forward
    const state = stateOf(targets)
    const [first] = targets
    const row = (target: Cell, error = ''): Cell[] => [
      forward.name,
      forward.listeners.join(', '),
      target,
      { text: state, style: style[state] },
      `${forward.active}`,
      `${forward.accepted}`,
      `${Object.values(forward.refused).reduce((sum, count) => sum + count, 0)}`,
      formatBytes(forward.receivedBytes),
      formatBytes(forward.sentBytes),
      error,
    ]
    const resets =
      forward.headerResets > 0 ? `the target reset ${forward.headerResets} right behind the PROXY header` : ''
    if (targets.length === 1) return [row(targetText(first!), targetTrouble(first!) ?? resets)]
    const own = targets.map((target): Cell[] => {
      const { state, active } = target
      const open = { text: `${active}`, style: 'dim' as const }
      const trouble = targetTrouble(target) ?? ''
      return ['', '', targetText(target), { text: state, style: style[state] }, open, '', '', '', '', trouble]
    })
    const up = targets.filter(({ state }) => state === 'up').length
    return [row(`${up} of ${targets.length} up`, resets), ...own]
  })
  const header = [
    'forward',
    'listens on',
    'target',
    'state',
    'open',
    'total',
    'refused',
    'received',
    'sent',
    '',
  ]
  return titled(header, rows)
}

function connectionRows({ connections, connectionsTotal }: EndStatus, age: Age): Cell[][] {
  const rows = connections
    .slice(0, shownConnections)
    .map(connection => [
      connection.client,
      connection.forward,
      connection.target ?? 'none yet',
      age(connection.since),
      formatBytes(connection.receivedBytes),
      formatBytes(connection.sentBytes),
    ])
  const table = titled(['connection', 'forward', 'target', 'age', 'received', 'sent'], rows)
  const more = connectionsTotal - rows.length
  return more > 0 ? [...table, [{ text: `and ${more} more`, style: 'dim' }]] : table
}

function titled(header: readonly string[], rows: readonly Cell[][]): Cell[][] {
  return rows.length === 0 ? [] : [header.map(text => ({ text, style: 'bold' })), ...rows]
}

function align(rows: readonly Cell[][], color: boolean): string[] {
  const widths = rows.reduce<number[]>(
    (sofar, row) =>
      row.map((cell, i) => Math.max(textOf(cell).length, sofar[i] ?? 0)).concat(sofar.slice(row.length)),
    [],
  )
  return rows.map(row =>
    row
      .map((cell, i) => {
        const text = textOf(cell)
        const painted =
          color && typeof cell === 'object' ? styleText(cell.style, text, { validateStream: false }) : text
        return i === row.length - 1 ? painted : painted + ' '.repeat(widths[i]! - text.length)
      })
      .join('  ')
      .trimEnd(),
  )
}

/** Control characters would reach the terminal of whoever asks a foreign end. */
function textOf(cell: Cell): string {
  return visible(typeof cell === 'string' ? cell : cell.text)
}
