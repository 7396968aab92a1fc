import { type Metric, single } from './metric.ts'

/** What the program itself uses and lost, wireguard-go not included. */
export const processMetrics: readonly Metric[] = [
  {
    name: 'wg_punchhole_log_lines_dropped_total',
    kind: 'counter',
    help: 'Log lines that were not written, because nobody read stdout or its disk was full.',
    labels: [],
    read: single(({ status }) => status.logLinesDropped),
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
