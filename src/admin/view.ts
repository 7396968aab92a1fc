import { styleText } from 'node:util'
import { formatBytes, formatSeconds } from '../text/amount.ts'
import { visible } from '../text/visible.ts'
import type { TunnelStatus } from '../tunnel/status.ts'
import { stateOf } from '../upstream/status.ts'
import { countsText, type Dated, type EndStatus, shortKey, targetText, targetTrouble } from './status.ts'

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
    udpForwardRows(status),
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

const stateStyle = { up: 'green', down: 'red', unknown: 'dim' } as const

function forwardRows({ forwards }: EndStatus): Cell[][] {
  const rows = forwards
    .filter(({ protocol }) => protocol !== 'udp')
    .flatMap((forward): Cell[][] => {
      const { headerResets } = forward
      const counts = [formatBytes(forward.receivedBytes), formatBytes(forward.sentBytes)]
      const resets = headerResets > 0 ? `the target reset ${headerResets} right behind the PROXY header` : ''
      return withTargets(forward, forward.listeners.join(', '), counts, resets)
    })
  const counts = ['open', 'total', 'refused', 'received', 'sent']
  return titled(['forward', 'listens on', 'target', 'state', ...counts, ''], rows)
}

/** Beside bytes, datagrams; and what of them went no further, and why. */
function udpForwardRows({ forwards }: EndStatus): Cell[][] {
  const rows = forwards.flatMap((forward): Cell[][] => {
    if (forward.protocol !== 'udp') return []
    const { received, sent, dropped, evicted } = forward.datagrams
    const drops = countsText(dropped)
    const counts: Cell[] = [
      `${received} (${formatBytes(forward.receivedBytes)})`,
      `${sent} (${formatBytes(forward.sentBytes)})`,
      { text: `${evicted}`, style: evicted > 0 ? 'yellow' : 'dim' },
      drops === '' ? { text: '0', style: 'dim' } : { text: drops, style: 'yellow' },
    ]
    const listeners = forward.listeners.map(listener => `${listener}/udp`).join(', ')
    return withTargets(forward, listeners, counts, '')
  })
  const counts = ['flows', 'total', 'refused', 'received', 'sent', 'evicted', 'dropped']
  return titled(['UDP forward', 'listens on', 'target', 'state', ...counts, ''], rows)
}

/** The row of a forward, and below it one for each of several targets. */
function withTargets(
  forward: EndStatus['forwards'][number],
  listeners: string,
  counts: readonly Cell[],
  note: string,
): Cell[][] {
  const { name, targets, active, accepted, refused } = forward
  const state = stateOf(targets)
  const [first] = targets
  const row = (target: Cell, trouble: string): Cell[] => [
    name,
    listeners,
    target,
    { text: state, style: stateStyle[state] },
    `${active}`,
    `${accepted}`,
    `${Object.values(refused).reduce((sum, count) => sum + count, 0)}`,
    ...counts,
    trouble,
  ]
  if (targets.length === 1) return [row(targetText(first!), targetTrouble(first!) ?? note)]
  const own = targets.map((target): Cell[] => {
    const { state, active } = target
    const open = { text: `${active}`, style: 'dim' as const }
    const trouble = targetTrouble(target) ?? ''
    const blank = ['', '', ...counts.map(() => '')]
    return ['', '', targetText(target), { text: state, style: stateStyle[state] }, open, ...blank, trouble]
  })
  const up = targets.filter(({ state }) => state === 'up').length
  return [row(`${up} of ${targets.length} up`, note), ...own]
}

function connectionRows({ connections, connectionsTotal }: EndStatus, age: Age): Cell[][] {
  const rows = connections
    .slice(0, shownConnections)
    .map(connection => [
      connection.datagrams === undefined ? connection.client : `${connection.client}/udp`,
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
