import type { Dated, EndStatus } from '../admin/status.ts'
import { countsText, shortKey, targetText, targetTrouble } from '../admin/status.ts'
import type { ForwardStatus } from '../connection/status.ts'
import { formatBytes, formatCount } from '../text/amount.ts'
import type { PeerStatus } from '../tunnel/status.ts'
import { stateOf, type TargetStatus, type Verdict } from '../upstream/status.ts'
import type { Event } from './events.ts'
import type { History } from './history.ts'
import { constant, type Html, html } from './html.ts'
import { mark, state, type Tone, worst, worstFirst } from './mark.ts'
import { ago, since } from './moment.ts'
import { spark } from './spark.ts'
import { script, style } from './style.ts'

/** The status page: one document, complete as it is sent, for a person who wants to see whether and where it hangs. */

type Forward = Dated<ForwardStatus>
type Peer = Dated<PeerStatus>

export interface PageParts {
  readonly status: EndStatus
  readonly history: Pick<History, 'of' | 'total'>
  /** Newest first. */
  readonly events: readonly Event[]
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** As an escape in the bundle: one such character in its text would double the memory of all of it. */
const arrow = '→'

const health: Readonly<Record<EndStatus['health']['status'], Tone>> = {
  ready: 'good',
  degraded: 'warning',
  unready: 'bad',
}
const target: Readonly<Record<TargetStatus['state'], Tone>> = {
  up: 'good',
  down: 'bad',
  unknown: 'quiet',
}

const verdict: Readonly<Record<Verdict['state'], Tone>> = {
  ok: 'quiet',
  warning: 'warning',
  failed: 'bad',
  unknown: 'quiet',
}

/** How many reasons, peers, forwards, and targets of one forward a person is shown: of more, those in trouble. */
const most = 100

/** How a forward does: one whose target takes connections and not the header serves nobody. */
function howOf(targets: readonly Dated<TargetStatus>[]): { tone: Tone; word: string } {
  const how = stateOf(targets)
  const isRefused = targets.some(({ state, judged }) => state === 'up' && judged?.state === 'failed')
  return isRefused ? { tone: 'bad', word: `${how}, header unfit` } : { tone: target[how], word: how }
}

export function statusPage(parts: PageParts): string {
  const { status, now } = parts
  const { reasons } = status.health
  const title = `${status.health.status} · wg-punchhole${status.interface === undefined ? '' : ` ${status.interface}`}`
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${title}</title><link rel="icon" href="data:,"><style>${constant(style)}</style></head>
<body><div id="stale" role="alert">No answer from this end: what is shown is old</div><main>
<header><h1>wg-punchhole ${status.interface}</h1><span>${state(health[status.health.status], status.health.status)} <span class="soft">up for ${since(status.startedAt, now)}, version ${status.version}</span></span></header>
${picture(status)}
${
  reasons.length > 0 &&
  html`<ul class="reasons">${shown(
    reasons,
    ({ behind }) => (behind === undefined ? health[status.health.status] : 'quiet'),
    ({ code, detail, since: time, behind }, tone) =>
      html`<li class="card">${state(tone, code)} <span class="soft">${behind !== undefined && `behind peer ${shortKey(behind)}, `}for ${since(time, now)}</span><br><span class="wrap">${detail}</span></li>`,
  )}</ul>`
}
${status.tunnel !== undefined && html`<h2>Peers</h2><div class="cards">${shown(status.tunnel.peers, peerTone, peer => peerCard(peer, now))}</div>`}
<h2>Forwards, the last 15 minutes</h2><div class="cards">${shown(
    status.forwards,
    ({ targets }) => howOf(targets).tone,
    forward => forwardCard(forward, parts),
  )}</div>
<h2>Events</h2>${eventList(parts)}
</main><script>${constant(script)}</script></body></html>
`.toString()
}

/** A list for a person: what a page of thousands would be is no help to her, and a burden to the end. */
function shown<T>(items: readonly T[], toneOf: (item: T) => Tone, show: (item: T, tone: Tone) => Html): Html {
  const toned = items.map(item => ({ item, tone: toneOf(item) }))
  const few = toned.length > most ? worstFirst(toned).slice(0, most) : toned
  const others = toned.length - few.length
  return html`${few.map(({ item, tone }) => show(item, tone))}${others > 0 && html`<p class="soft">and ${others} more, all of them in /status.json</p>`}`
}

interface Hop {
  readonly tone: Tone
  readonly name: string
  readonly detail: string
}

/** The path of a connection, hop by hop; the tunnel comes first where this end is the one that is called through it. */
function picture({ health: { status }, tunnel, forwards, links, connectionsTotal }: EndStatus): Html {
  const own = (tunnel?.addresses ?? []).map(address => address.split('/')[0]!)
  const called = forwards.some(({ listeners }) =>
    listeners.some(listener =>
      own.some(address => listener.startsWith(address) || listener.startsWith(`[${address}]`)),
    ),
  )
  const all = forwards.flatMap(({ targets }) => targets)
  const [up, unknown] = (['up', 'unknown'] as const).map(
    is => all.filter(({ state }) => state === is).length,
  ) as [number, number]
  const flows = forwards.reduce(
    (sum, { datagrams, active }) => (datagrams === undefined ? sum : sum + active),
    0,
  )
  const connections = formatCount(Math.max(0, connectionsTotal - flows), 'open connection')
  const clients: Hop = {
    tone: connectionsTotal > 0 ? 'good' : 'quiet',
    name: 'Clients',
    detail: flows > 0 ? `${connections}, ${formatCount(flows, 'flow')}` : connections,
  }
  const here: Hop = { tone: health[status], name: 'This end', detail: status }
  const targets: Hop = {
    tone: worst(forwards.map(({ targets }) => howOf(targets).tone)),
    name: 'Targets',
    detail: `${up} of ${all.length} up${unknown > 0 ? `, ${unknown} unknown` : ''}`,
  }
  const through = tunnel === undefined ? [] : [tunnelHop(tunnel.peers, links)]
  const hops = called ? [clients, ...through, here, targets] : [clients, here, ...through, targets]
  return html`<ol class="path">${hops.map(({ tone, name, detail }) => html`<li class="hop ${tone}">${mark(tone)}<b>${name}</b><small>${detail}</small></li>`)}</ol>`
}

function tunnelHop(peers: readonly Peer[], links: EndStatus['links']): Hop {
  const up = peers.filter(({ path }) => path.state === 'up')
  const rtt = Math.min(...up.map(({ path }) => path.rtt ?? Number.POSITIVE_INFINITY))
  const facts = [
    `${up.length} of ${formatCount(peers.length, 'peer')} up`,
    Number.isFinite(rtt) && `${Math.round(rtt)} ms`,
    links.some(link => link.state === 'up') && 'linked',
  ]
  return {
    tone: worst(peers.map(peerTone)),
    name: 'Tunnel',
    detail: facts.filter(fact => fact !== false).join(', '),
  }
}

function peerTone({ path }: Peer): Tone {
  if (path.state === 'up') return 'good'
  return path.state === 'mtu-black-hole' ? 'warning' : path.state === 'starting' ? 'quiet' : 'bad'
}

function peerCard(peer: Peer, now: number): Html {
  const { path, lastHandshake } = peer
  return html`<section class="card"><div class="top"><h3>${shortKey(peer.publicKey)}</h3>${state(peerTone(peer), path.rung === undefined ? path.state : `${path.state}: ${path.rung}`)}</div>${facts(
    [
      ['Endpoint', peer.endpoint ?? peer.configuredEndpoint ?? 'not known yet'],
      ['Last answer', path.lastAnswer === undefined ? 'never' : ago(path.lastAnswer, now)],
      ['Handshake', lastHandshake === undefined ? 'never' : ago(lastHandshake, now)],
      ['Round trip', path.rtt === undefined ? '–' : `${path.rtt.toFixed(path.rtt < 10 ? 1 : 0)} ms`],
      ['Probes lost', path.loss === undefined ? 'answers none' : `${Math.round(path.loss * 100)} %`],
      ['Received / sent', `${formatBytes(peer.receivedBytes)} / ${formatBytes(peer.sentBytes)}`],
      ['Allowed', peer.allowedIps.join(', ')],
    ],
  )}</section>`
}

function forwardCard(forward: Forward, { history, now }: PageParts): Html {
  const { name, active, accepted, datagrams } = forward
  const [unit, units] = datagrams === undefined ? ['open connection', 'Open connections'] : ['flow', 'Flows']
  const how = howOf(forward.targets)
  const series = history.of(name)
  const [received, sent] = [series.received.at(-1) ?? 0, series.sent.at(-1) ?? 0]
  const refused = countsText(forward.refused)
  return html`<section class="card"><div class="top"><h3>${name}${datagrams !== undefined && html` <span class="soft">UDP</span>`}</h3>${state(how.tone, how.word)}</div>
${targetList(forward, now)}${headerNote(forward)}
${spark(`${units} of ${name}: ${active} now`, series.active)}<div class="key"><span>${formatCount(active, unit!)}</span><span>${accepted} in all</span></div>
${spark(`Bytes a second of ${name}: ${formatBytes(sent)} out, ${formatBytes(received)} in`, series.sent, series.received)}<div class="key"><span>out ${formatBytes(sent)}/s</span><span>in ${formatBytes(received)}/s</span></div>
${datagramNote(forward)}${refused !== '' && html`<small class="warning wrap">refused: ${refused}</small>`}</section>`
}

/** What a UDP forward counts; of what went no further, why. */
function datagramNote({ datagrams }: Forward): Html | undefined {
  if (datagrams === undefined) return undefined
  const { received, sent, evicted } = datagrams
  const dropped = countsText(datagrams.dropped)
  return html`<div class="key"><span>${formatCount(sent, 'datagram')} out</span><span>${received} in</span></div>${
    dropped !== '' && html`<small class="warning wrap">dropped: ${dropped}</small>`
  }${evicted > 0 && html`<small class="warning wrap">ended to make room: ${formatCount(evicted, 'flow')}</small>`}`
}

/** Where it sends; of several targets each with its state. */
function targetList({ protocol, listeners, targets }: Forward, now: number): Html {
  const from = listeners.map(listener => (protocol === 'udp' ? `${listener}/udp` : listener)).join(', ')
  const trouble = (target: Dated<TargetStatus>) => {
    const { behind, judged } = target
    const lost = targetTrouble(target)
    return [
      lost !== undefined && html`<br><span class="${behind === undefined ? 'bad' : 'quiet'}">${lost}</span>`,
      judged !== undefined &&
        html`<br><span class="${verdict[judged.state]}">${judged.found}</span> (${ago(judged.since, now)})`,
    ]
  }
  if (targets.length === 1)
    return html`<small class="wrap">${from} ${arrow} ${targetText(targets[0]!)}${trouble(targets[0]!)}</small>`
  return html`<small class="wrap">${from} ${arrow}</small>${shown(
    targets,
    one => target[one.state],
    (one, tone) =>
      html`<small class="wrap">${state(tone, one.state)} ${targetText(one)}, ${one.active} open${trouble(one)}</small>`,
  )}`
}

/** That a target takes connections says nothing of the header. Of one over UDP nothing is known before it answers. */
function headerNote({ protocol, sendProxy, targets }: Forward): Html | undefined {
  if (protocol === 'udp')
    return targets.some(({ state, behind }) => state === 'unknown' && behind === undefined)
      ? html`<small>whether the target is there, the first client's answer shows</small>`
      : undefined
  const isOpen =
    sendProxy !== false && targets.some(({ state, judged }) => state === 'up' && judged === undefined)
  if (!isOpen) return undefined
  return html`<small>takes connections; whether the PROXY header (${sendProxy}) fits, <code>doctor</code> tells</small>`
}

function facts(rows: readonly (readonly [name: string, value: string | Html])[]): Html {
  return html`<dl>${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`
}

function eventList({ events, now }: PageParts): Html {
  if (events.length === 0) return html`<p class="soft">Nothing has happened yet.</p>`
  return html`<ul class="events card">${events.map(
    ({ last, count, tone, title, detail }) =>
      html`<li>${ago(last, now)}<span class="wrap">${state(tone, title)}${count > 1 && html` <span class="soft">× ${count}</span>`} ${detail}</span></li>`,
  )}</ul>`
}
