import { type Metric, perForward } from './metric.ts'

/** What UDP forwards count beside what all forwards do. */
export const datagramMetrics: readonly Metric[] = [
  {
    name: 'wg_punchhole_forward_datagrams_total',
    kind: 'counter',
    help: 'Datagrams of a UDP forward that went on: received from clients, and sent to them.',
    labels: ['forward', 'direction'],
    read: ({ status }) =>
      status.forwards.flatMap(({ name: forward, datagrams }) =>
        datagrams === undefined
          ? []
          : [
              { value: datagrams.received, labels: { forward, direction: 'received' } },
              { value: datagrams.sent, labels: { forward, direction: 'sent' } },
            ],
      ),
  },
  {
    name: 'wg_punchhole_forward_datagrams_dropped_total',
    kind: 'counter',
    help: 'Datagrams of a UDP forward that went no further; their flow goes on.',
    labels: ['forward', 'reason'],
    read: ({ status }) =>
      status.forwards.flatMap(({ name, datagrams }) =>
        Object.entries(datagrams?.dropped ?? {}).map(([reason, value]) => ({
          value,
          labels: { forward: name, reason },
        })),
      ),
  },
  {
    name: 'wg_punchhole_forward_flows_evicted_total',
    kind: 'counter',
    help: 'Flows of a UDP forward that were ended to make room for others, the longest idle ones first.',
    labels: ['forward'],
    read: perForward(({ datagrams }) => datagrams?.evicted),
  },
]
