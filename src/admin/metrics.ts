import { stateOf } from '../upstream/status.ts'
import { datagramMetrics } from './datagram-metrics.ts'
import { headerMetrics } from './header-metrics.ts'
import { type Metric, ofLinks, perForward, sample, single, targetCounts } from './metric.ts'
import { processMetrics } from './process-metrics.ts'
import { shortKey } from './status.ts'
import { tunnelMetrics } from './tunnel-metrics.ts'

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
    name: 'wg_punchhole_config_reloads_total',
    kind: 'counter',
    help: 'Changed configs, by what became of them: applied or refused.',
    labels: ['result'],
    read: ({ status: { config } }) => [
      ...sample(config?.reloads, { result: 'applied' }),
      ...sample(config?.rejections, { result: 'refused' }),
    ],
  },
  {
    name: 'wg_punchhole_config_rejected',
    kind: 'gauge',
    help: '1 while the newest config is refused and the one before it runs on.',
    labels: [],
    read: single(({ status: { config } }) => config && (config.rejected === undefined ? 0 : 1)),
  },
  ...tunnelMetrics,
  {
    name: 'wg_punchhole_forward_connections_total',
    kind: 'counter',
    help: 'Connections whose client is known, checks not among them; of a UDP forward, flows: the datagrams of one client address and port.',
    labels: ['forward'],
    read: perForward(forward => forward.accepted),
  },
  {
    name: 'wg_punchhole_forward_connections_active',
    kind: 'gauge',
    help: 'Connections open now; of a UDP forward, flows.',
    labels: ['forward'],
    read: perForward(forward => forward.active),
  },
  {
    name: 'wg_punchhole_forward_checks_total',
    kind: 'counter',
    help: 'Checks by what stands in front; they are no connections of clients.',
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
    help: 'Connections ended before they were relayed; of a UDP forward, datagrams that could begin no flow.',
    labels: ['forward', 'reason'],
    read: ({ status }) =>
      status.forwards.flatMap(({ name, refused }) =>
        Object.entries(refused).map(([reason, value]) => ({ value, labels: { forward: name, reason } })),
      ),
  },
  ...headerMetrics,
  ...datagramMetrics,
  {
    name: 'wg_punchhole_forward_target_up',
    kind: 'gauge',
    help: '1 when a target of the forward is up, 0 when all are down; absent before the first answer, and while they are behind a peer that is not reached.',
    labels: ['forward'],
    read: perForward(({ targets }) => ({ up: 1, down: 0, unknown: undefined })[stateOf(targets)]),
  },
  {
    name: 'wg_punchhole_forward_targets',
    kind: 'gauge',
    help: 'Targets that are up, down, or unknown (before the first answer, or behind a peer that is not reached); each address of a name is one.',
    labels: ['forward', 'state'],
    read: ({ status }) => status.forwards.flatMap(targetCounts),
  },
  {
    name: 'wg_punchhole_links_up',
    kind: 'gauge',
    help: 'Links to and from other ends that take streams now.',
    labels: [],
    read: ofLinks(links => links.filter(({ state }) => state === 'up').length),
  },
  {
    name: 'wg_punchhole_link_streams',
    kind: 'gauge',
    help: 'Connections that cross the tunnel over a link now, promoted ones among them.',
    labels: [],
    read: ofLinks(links => links.reduce((sum, { streams }) => sum + streams, 0)),
  },
  {
    name: 'wg_punchhole_link_streams_promoted',
    kind: 'gauge',
    help: 'Of these, the long ones that have a tunnel connection of their own.',
    labels: [],
    read: ofLinks(links => links.reduce((sum, { promoted }) => sum + promoted, 0)),
  },
  ...processMetrics,
]
