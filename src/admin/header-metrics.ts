import { type Metric, perForward } from './metric.ts'

/** What became of the PROXY headers that a forward sends. */
export const headerMetrics: readonly Metric[] = [
  {
    name: 'wg_punchhole_forward_dropped_tlvs_total',
    kind: 'counter',
    help: 'TLVs left out of a PROXY header that would have grown too long.',
    labels: ['forward'],
    read: perForward(forward => forward.droppedTlvs),
  },
  {
    name: 'wg_punchhole_forward_header_resets_total',
    kind: 'counter',
    help: 'Connections that their target reset right behind the PROXY header, before a byte of its own.',
    labels: ['forward'],
    read: perForward(forward => forward.headerResets),
  },
]
