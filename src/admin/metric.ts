import type { ForwardStatus } from '../connection/status.ts'
import type { PeerStatus } from '../tunnel/status.ts'
import { type Dated, type EndStatus, shortKey } from './status.ts'

/** One metric, and how its samples are read from the status of the end. */

export interface Metric {
  readonly name: `wg_punchhole_${string}`
  readonly kind: 'counter' | 'gauge'
  readonly help: string
  readonly labels: readonly string[]
  readonly read: (scrape: Scrape) => readonly Sample[]
}

/** What a scrape reads: the status, and what the kernel says of the processes. */
export interface Scrape extends ProcessUse {
  readonly status: EndStatus
}

export interface ProcessUse {
  readonly residentBytes: number
  readonly openFiles: number
  /** `undefined` while wireguard-go does not run or its pid is unknown. */
  readonly tunnelResidentBytes: number | undefined
}

interface Sample {
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
}

/** One number about the end; none where it is undefined. */
export function single(read: (scrape: Scrape) => number | undefined): Metric['read'] {
  return scrape => sample(read(scrape), {})
}

export function perPeer(read: (peer: Dated<PeerStatus>) => number | undefined): Metric['read'] {
  return ({ status: { tunnel } }) =>
    tunnel?.peers.flatMap(peer => sample(read(peer), { peer: shortKey(peer.publicKey) })) ?? []
}

/** One number about the links, where there is a tunnel. */
export function ofLinks(read: (links: EndStatus['links']) => number): Metric['read'] {
  return single(({ status: { tunnel, links } }) => tunnel && read(links))
}

export function perForward(read: (forward: Dated<ForwardStatus>) => number | undefined): Metric['read'] {
  return ({ status }) => status.forwards.flatMap(forward => sample(read(forward), { forward: forward.name }))
}

/** How many targets of a forward are in each state. */
export function targetCounts({ name, targets }: Dated<ForwardStatus>): Sample[] {
  return (['up', 'down', 'unknown'] as const).map(state => ({
    value: targets.filter(target => target.state === state).length,
    labels: { forward: name, state },
  }))
}

export function sample(value: number | undefined, labels: Sample['labels']): Sample[] {
  return value === undefined ? [] : [{ value, labels }]
}
