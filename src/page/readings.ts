import { formatCount } from '../text/amount.ts'
import type { Tone } from './mark.ts'

/** Which lines of the log are events for a person, and what they say to her. */

export interface Reading {
  readonly tone: Tone
  readonly title: string
  readonly detail?: string
  /** Counted on in one event with the same key, so that a flood does not wash all else away. */
  readonly like?: string
}

export type Fields = Readonly<Record<string, unknown>>

/** By the message of the line. */
export const readings: ReadonlyMap<string, (fields: Fields) => Reading> = new Map<
  string,
  (fields: Fields) => Reading
>([
  ['running', ({ version }) => ({ tone: 'good', title: 'Started', detail: `version ${version}` })],
  ['draining', () => ({ tone: 'warning', title: 'Told to stop', detail: 'open connections may finish' })],
  ['health changed', health],
  [
    'tunnel up',
    fields => ({
      tone: 'good',
      title: 'Tunnel up',
      detail: `${fields.interface}${fields.adopted ? ', with the wireguard-go of an earlier run' : ''}`,
    }),
  ],
  [
    'tunnel changed',
    ({ interface: name }) => ({ tone: 'quiet', title: 'Tunnel changed', detail: `${name}` }),
  ],
  [
    'wireguard-go is not running',
    ({ why }) => ({ tone: 'bad', title: 'wireguard-go down', detail: `${why}` }),
  ],
  ['path changed', path],
  [
    'MTU stepped down',
    ({ from, to }) => ({ tone: 'warning', title: 'MTU stepped down', detail: `from ${from} to ${to}` }),
  ],
  [
    'tunnel device put back',
    ({ lost }) => ({ tone: 'warning', title: 'Device put back', detail: `lost were ${listed(lost)}` }),
  ],
  [
    'no route through the tunnel, nothing is sent',
    ({ address, why }) => ({
      tone: 'bad',
      title: 'No route through the tunnel',
      detail: `${address}: ${why}`,
    }),
  ],
  [
    'route through the tunnel again',
    ({ address }) => ({ tone: 'good', title: 'Route through the tunnel again', detail: `${address}` }),
  ],
  ['endpoint not resolved', unresolved],
  ['endpoint not resolved again', unresolved],
  [
    'endpoint changed to another address',
    ({ peer, endpoint }) => ({
      tone: 'quiet',
      title: 'Endpoint changed',
      detail: `peer ${peer}: ${endpoint}`,
    }),
  ],
  ['link up', ({ address }) => ({ tone: 'good', title: 'Link up', detail: `${address}` })],
  [
    'link down',
    ({ address, why }) => ({
      tone: why === 'no longer wanted' ? 'quiet' : 'warning',
      title: 'Link down',
      detail: `${address}: ${why}`,
    }),
  ],
  ['config reloaded', ({ file }) => ({ tone: 'good', title: 'Config reloaded', detail: `${file}` })],
  ['config refused, the old one goes on', refusedConfig],
  [
    'these keys changed too, and need a restart',
    ({ keys }) => ({ tone: 'warning', title: 'Restart needed', detail: `for ${listed(keys)}` }),
  ],
  ['connection refused', refused],
  ['flow refused', refused],
  ['datagrams dropped', dropped],
  [
    'target down',
    ({ forward, target, error }) => ({
      tone: 'bad',
      title: 'Target down',
      detail: `${forward}, ${target}: ${error}`,
      like: `down ${forward} ${target}`,
    }),
  ],
  [
    'target up',
    ({ forward, target }) => ({ tone: 'good', title: 'Target up', detail: `${forward}, ${target}` }),
  ],
  [
    'listener not opened again',
    ({ address, error }) => ({ tone: 'bad', title: 'Listener closed', detail: `${address}: ${error}` }),
  ],
  [
    'accept failed',
    ({ address, error }) => ({
      tone: 'bad',
      title: 'Accept failed',
      detail: `${address}: ${error}`,
      like: 'accept failed',
    }),
  ],
  [
    'unexpected error; please report it',
    ({ error }) => ({ tone: 'bad', title: 'Unexpected error', detail: `${error}`, like: 'unexpected' }),
  ],
])

function refused({ reason, forward, client, detail }: Fields): Reading {
  return {
    tone: 'warning',
    title: `Refused: ${reason}`,
    detail: `${forward}, client ${client}: ${detail}`,
    like: `refused ${reason}`,
  }
}

function dropped({ reason, forward, sender, bytes, detail }: Fields): Reading {
  const which = sender === undefined ? '' : `, ${bytes} bytes from ${sender}`
  return {
    tone: 'warning',
    title: `Dropped: ${reason}`,
    detail: `${forward}${which}: ${detail}`,
    like: `dropped ${forward} ${reason}`,
  }
}

function health({ status, codes }: Fields): Reading {
  if (status === 'ready') return { tone: 'good', title: 'Ready' }
  const tone = status === 'degraded' ? 'warning' : 'bad'
  return { tone, title: tone === 'bad' ? 'Unready' : 'Degraded', detail: listed(codes) }
}

function path({ peer, from, to, rung }: Fields): Reading {
  const about = `peer ${peer}`
  if (rung !== undefined)
    return {
      tone: 'warning',
      title: 'Recovery step',
      detail: `${about}: ${rung}`,
      like: `recovery ${peer}`,
    }
  switch (to) {
    case 'up':
      return { tone: 'good', title: 'Path up', detail: about }
    case 'mtu-black-hole':
      return { tone: 'warning', title: 'Full-size packets lost', detail: about }
    case 'one-way':
      return { tone: 'bad', title: 'One direction lost', detail: `${about} gets nothing, and is heard` }
    default:
      return { tone: 'bad', title: `Path ${to}`, detail: `${about}, it was ${from}` }
  }
}

function unresolved({ peer, host, error }: Fields): Reading {
  const detail = `${host}: ${error}`
  return { tone: 'warning', title: 'Endpoint not resolved', detail, like: `unresolved ${peer}` }
}

/** The errors themselves are in the log and the status: here they would have to be kept free of what they quote. */
function refusedConfig({ errors }: Fields): Reading {
  const count = Array.isArray(errors) ? errors.length : 0
  return {
    tone: 'bad',
    title: 'Config refused',
    detail: `${formatCount(count, 'error')}, the old one goes on; the log names them`,
  }
}

function listed(value: unknown): string {
  return Array.isArray(value) ? value.join(', ') : ''
}
