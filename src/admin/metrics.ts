import { readdir, readFile } from 'node:fs/promises'
import type { ForwardStatus } from '../forward/status.ts'
import type { PeerStatus } from '../tunnel/status.ts'
import { type Dated, type EndStatus, shortKey } from './status.ts'

/** Every metric there is, and their text for Prometheus. */

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

interface ProcessUse {
  readonly residentBytes: number
  readonly openFiles: number
  /** `undefined` while wireguard-go does not run or its pid is unknown. */
  readonly tunnelResidentBytes: number | undefined
}

interface Sample {
  readonly value: number
  readonly labels: Readonly<Record<string, string>>
}

/** A metric without a sample, those of a tunnel where there is none for example, is left out of the text. */
export const metrics: readonly Metric[] = [
  {
    name: 'wg_punchhole_build_info',
    kind: 'gauge',
    help: 'Always 1; the versions are its labels.',
    labels: ['version', 'wireguard_go', 'node'],
    read: ({ status: { version, wireguardGo = '', node } }) => [
      { value: 1, labels: { version, wireguard_go: wireguardGo, node } },
    ],
  },
  {
    name: 'wg_punchhole_start_time_seconds',
    kind: 'gauge',
    help: 'When the program started, in seconds since the epoch.',
    labels: [],
    read: single(({ status }) => Date.parse(status.startedAt) / 1000),
  },
  {
    name: 'wg_punchhole_ready',
    kind: 'gauge',
    help: '1 while /readyz answers 200 (ready or degraded), 0 while unready.',
    labels: [],
    read: single(({ status }) => (status.health.status === 'unready' ? 0 : 1)),
  },
  {
    name: 'wg_punchhole_health_reason',
    kind: 'gauge',
    help: '1 for each reason why the end is degraded or unready; absent otherwise.',
    labels: ['reason', 'peer'],
    read: ({ status }) =>
      status.health.reasons.map(({ code, peer = '' }) => ({
        value: 1,
        labels: { reason: code, peer: shortKey(peer) },
      })),
  },
  {
    name: 'wg_punchhole_tunnel_process_up',
    kind: 'gauge',
    help: '1 while wireguard-go runs.',
    labels: [],
    read: single(({ status }) => status.tunnel && (status.tunnel.process.state === 'running' ? 1 : 0)),
  },
  {
    name: 'wg_punchhole_tunnel_process_restarts_total',
    kind: 'counter',
    help: 'Starts of wireguard-go after the first one.',
    labels: [],
    read: single(({ status }) => status.tunnel?.process.restarts),
  },
  {
    name: 'wg_punchhole_tunnel_process_resident_memory_bytes',
    kind: 'gauge',
    help: 'Resident memory of wireguard-go.',
    labels: [],
    read: single(scrape => scrape.tunnelResidentBytes),
  },
  {
    name: 'wg_punchhole_tunnel_mtu_bytes',
    kind: 'gauge',
    help: 'MTU of the tunnel.',
    labels: [],
    read: single(({ status }) => status.tunnel?.mtu),
  },
  {
    name: 'wg_punchhole_peer_last_handshake_timestamp_seconds',
    kind: 'gauge',
    help: 'When the last handshake with the peer was completed, in seconds since the epoch; absent before the first.',
    labels: ['peer'],
    read: perPeer(({ lastHandshake: at }) => (at === undefined ? undefined : Date.parse(at) / 1000)),
  },
  {
    name: 'wg_punchhole_peer_received_bytes_total',
    kind: 'counter',
    help: 'Bytes received from the peer, as wireguard-go counts them; starts over with it.',
    labels: ['peer'],
    read: perPeer(peer => peer.receivedBytes),
  },
  {
    name: 'wg_punchhole_peer_sent_bytes_total',
    kind: 'counter',
    help: 'Bytes sent to the peer, as wireguard-go counts them; starts over with it.',
    labels: ['peer'],
    read: perPeer(peer => peer.sentBytes),
  },
  {
    name: 'wg_punchhole_forward_connections_total',
    kind: 'counter',
    help: 'Connections whose client is known, checks not among them.',
    labels: ['forward'],
    read: perForward(forward => forward.accepted),
  },
  {
    name: 'wg_punchhole_forward_connections_active',
    kind: 'gauge',
    help: 'Connections open now.',
    labels: ['forward'],
    read: perForward(forward => forward.active),
  },
  {
    name: 'wg_punchhole_forward_checks_total',
    kind: 'counter',
    help: 'Connections that came with LOCAL or UNKNOWN.',
    labels: ['forward'],
    read: perForward(forward => forward.checks),
  },
  {
    name: 'wg_punchhole_forward_received_bytes_total',
    kind: 'counter',
    help: 'Bytes from clients to the target, PROXY headers not counted.',
    labels: ['forward'],
    read: perForward(forward => forward.receivedBytes),
  },
  {
    name: 'wg_punchhole_forward_sent_bytes_total',
    kind: 'counter',
    help: 'Bytes from the target to clients.',
    labels: ['forward'],
    read: perForward(forward => forward.sentBytes),
  },
  {
    name: 'wg_punchhole_forward_refused_total',
    kind: 'counter',
    help: 'Connections ended before they were relayed.',
    labels: ['forward', 'reason'],
    read: ({ status }) =>
      status.forwards.flatMap(({ name, refused }) =>
        Object.entries(refused).map(([reason, value]) => ({ value, labels: { forward: name, reason } })),
      ),
  },
  {
    name: 'wg_punchhole_forward_dropped_tlvs_total',
    kind: 'counter',
    help: 'TLVs left out of a PROXY header that would have grown too long.',
    labels: ['forward'],
    read: perForward(forward => forward.droppedTlvs),
  },
  {
    name: 'wg_punchhole_forward_target_up',
    kind: 'gauge',
    help: '1 when the last connection reached the target, 0 when it failed; absent before the first.',
    labels: ['forward'],
    read: perForward(({ target: { state } }) => (state === 'unknown' ? undefined : state === 'up' ? 1 : 0)),
  },
  {
    name: 'wg_punchhole_process_resident_memory_bytes',
    kind: 'gauge',
    help: 'Resident memory of the program, wireguard-go not included.',
    labels: [],
    read: single(scrape => scrape.residentBytes),
  },
  {
    name: 'wg_punchhole_process_open_fds',
    kind: 'gauge',
    help: 'File descriptors that the program has open.',
    labels: [],
    read: single(scrape => scrape.openFiles),
  },
]

function single(read: (scrape: Scrape) => number | undefined): Metric['read'] {
  return scrape => sample(read(scrape), {})
}

function perPeer(read: (peer: Dated<PeerStatus>) => number | undefined): Metric['read'] {
  return ({ status: { tunnel } }) =>
    tunnel?.peers.flatMap(peer => sample(read(peer), { peer: shortKey(peer.publicKey) })) ?? []
}

function perForward(read: (forward: Dated<ForwardStatus>) => number | undefined): Metric['read'] {
  return ({ status }) => status.forwards.flatMap(forward => sample(read(forward), { forward: forward.name }))
}

function sample(value: number | undefined, labels: Sample['labels']): Sample[] {
  return value === undefined ? [] : [{ value, labels }]
}

/** The text exposition format 0.0.4. prom-client costs 40 ms and 21 MiB: only an end that is scraped pays for it. */
export async function exposition(status: EndStatus): Promise<{ contentType: string; text: string }> {
  const { Counter, Gauge, Registry } = await import('prom-client')
  const scrape = { status, ...(await processUse(status.tunnel?.process.pid)) }
  const registry = new Registry()
  for (const { name, kind, help, labels, read } of metrics) {
    const samples = read(scrape)
    if (samples.length === 0) continue
    const options = { name, help, labelNames: labels, registers: [registry] }
    if (kind === 'counter') {
      const counter = new Counter(options)
      for (const { labels, value } of samples) counter.inc(labels, value)
    } else {
      const gauge = new Gauge(options)
      for (const { labels, value } of samples) gauge.set(labels, value)
    }
  }
  return { contentType: registry.contentType, text: await registry.metrics() }
}

async function processUse(tunnelPid: number | undefined): Promise<ProcessUse> {
  const [openFiles, tunnelResidentBytes] = await Promise.all([
    readdir('/proc/self/fd').then(names => names.length),
    tunnelPid === undefined ? undefined : residentBytes(tunnelPid),
  ])
  return { residentBytes: process.memoryUsage.rss(), openFiles, tunnelResidentBytes }
}

/** From /proc/PID/status, in kB: /proc/PID/statm counts pages, whose size Node does not tell. */
async function residentBytes(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}
