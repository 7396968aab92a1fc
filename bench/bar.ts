import { type NetworkName, networks } from './networks.ts'
import { cellOf, type Row } from './summary.ts'

/** What this program promises itself. */
export interface Bar {
  readonly title: string
  readonly network: NetworkName
  readonly contender: string
  /** Of several the worst counts. */
  readonly keys: readonly string[]
  /** The ratio to the reference, that of the worst round, or the number itself. */
  readonly of: 'ratio' | 'least' | 'value'
  readonly unit?: string
  readonly atLeast?: number
  readonly atMost?: number
}

export interface Verdict {
  readonly bar: Bar
  /** `undefined`: not measured. */
  readonly reached: number | undefined
  readonly good: boolean
}

const ours = { network: 'clean', contender: 'ours', of: 'ratio' } as const
const plain = { ...ours, contender: 'ours-plain' } as const
const lossy = { ...ours, network: 'lossy' } as const
const cubic = { ...lossy, contender: 'ours@cubic' } as const
const idle = { ...ours, of: 'value', unit: 'KB', atMost: 5 } as const

const oneCore = { ...ours, network: 'clean1' } as const

const udp = { ...ours, network: 'udp' } as const
const flood = { ...udp, of: 'value', unit: 'of it without', atLeast: 0.9 } as const

export const bars: readonly Bar[] = [
  { ...ours, title: 'lone request/s', keys: ['single.rate'], atLeast: 1 },
  { ...ours, title: 'lone request p99', keys: ['single.p99'], atMost: 1.2 },
  { ...ours, title: 'keep-alive requests/s', keys: ['keep.rate'], atLeast: 1.6 },
  { ...ours, title: 'keep-alive p99', keys: ['keep.p99'], atMost: 0.7 },
  { ...ours, title: 'new connections/s', keys: ['new.rate'], atLeast: 1.6 },
  { ...ours, title: 'new connections p99', keys: ['new.p99'], atMost: 0.75 },
  { ...ours, title: 'download, 1 stream', keys: ['bulk1.rate'], atLeast: 1 },
  { ...ours, title: 'download, 8 streams', keys: ['bulk8.rate'], atLeast: 1.1 },
  { ...ours, title: 'upload', keys: ['upload.rate'], atLeast: 1 },
  {
    ...ours,
    title: 'downloads and upload, the worst round',
    keys: ['bulk1.rate', 'bulk8.rate', 'upload.rate'],
    of: 'least',
    atLeast: 0.9,
  },
  { ...ours, title: 'CPU of a request, whole machine', keys: ['keep.cpu.machine'], atMost: 0.8 },
  { ...ours, title: 'CPU of a connection, whole machine', keys: ['new.cpu.machine'], atMost: 0.8 },
  { ...ours, title: 'first byte at 40 ms', keys: ['ttfb.time'], of: 'value', unit: 'ms', atMost: 45 },
  { ...ours, title: 'requests/s beside a download', keys: ['mix.rate'], atLeast: 2.5 },
  { ...ours, title: 'the download meanwhile', keys: ['mix.bulk'], atLeast: 0.95 },
  {
    ...ours,
    title: '/livez of the gateway, saturated',
    keys: ['livez.slowest'],
    of: 'value',
    unit: 'ms',
    atMost: 100,
  },
  { ...idle, title: 'idle memory per connection, gateway', keys: ['idle.gateway'] },
  { ...idle, title: 'idle memory per connection, pod', keys: ['idle.pod'] },
  {
    ...ours,
    title: 'memory of one end after the start',
    keys: ['startup.memory.gateway', 'startup.memory.pod'],
    of: 'value',
    unit: 'MB',
    atMost: 70,
  },
  { ...plain, title: 'lone request/s', keys: ['single.rate'], atLeast: 0.95 },
  { ...plain, title: 'keep-alive requests/s', keys: ['keep.rate'], atLeast: 0.8 },
  { ...plain, title: 'new connections/s', keys: ['new.rate'], atLeast: 0.75 },
  { ...plain, title: 'new connections p99', keys: ['new.p99'], atMost: 1.5 },
  { ...plain, title: 'download, 1 stream', keys: ['bulk1.rate'], atLeast: 1 },
  { ...oneCore, title: 'lone request/s', keys: ['single.rate'], atLeast: 1 },
  { ...oneCore, title: 'lone request p99', keys: ['single.p99'], atMost: 1.2 },
  { ...oneCore, title: 'keep-alive requests/s', keys: ['keep.rate'], atLeast: 1 },
  { ...oneCore, title: 'keep-alive p99', keys: ['keep.p99'], atMost: 1.2 },
  { ...oneCore, title: 'new connections/s', keys: ['new.rate'], atLeast: 1 },
  { ...oneCore, title: 'new connections p99', keys: ['new.p99'], atMost: 1.2 },
  { ...oneCore, title: 'download, 1 and 8 streams', keys: ['bulk1.rate', 'bulk8.rate'], atLeast: 1 },
  { ...oneCore, title: 'requests/s beside a download', keys: ['mix.rate'], atLeast: 1 },
  { ...oneCore, title: 'their p99', keys: ['mix.p99'], atMost: 1.2 },
  { ...oneCore, title: 'the download meanwhile', keys: ['mix.bulk'], atLeast: 1 },
  { ...lossy, title: 'download, 1 stream', keys: ['bulk1.rate'], atLeast: 20 },
  { ...lossy, title: 'new connections p99', keys: ['new.p99'], atMost: 0.2 },
  { ...lossy, title: 'requests/s beside a download', keys: ['mix.rate'], atLeast: 0.85 },
  { ...lossy, title: 'p99 beside a download', keys: ['mix.p99'], atMost: 0.5 },
  { ...cubic, title: 'download, 1 stream', keys: ['bulk1.rate'], atLeast: 0.8 },
  { ...cubic, title: 'requests/s beside a download', keys: ['mix.rate'], atLeast: 0.9 },
  { ...udp, title: 'datagrams/s, 64 and 1,200 bytes', keys: ['udp64.rate', 'udp1200.rate'], atLeast: 0.8 },
  { ...udp, title: 'their delay, p99', keys: ['udp64.p99', 'udp1200.p99'], atMost: 1.5 },
  { ...flood, title: 'TCP beside a flood of flows', keys: ['udpflood.requests', 'udpflood.download'] },
  { ...flood, title: 'TCP beside a bounded flood', keys: ['udplimit.requests', 'udplimit.download'] },
]

export function judge(rows: readonly Row[], bar: Bar): Verdict {
  const reached = bar.keys.map(key => {
    const cell = cellOf(rows, { ...bar, key }, networks[bar.network].reference)
    return bar.of === 'value' ? cell?.median : cell?.[bar.of]
  })
  if (reached.some(number => number === undefined)) return { bar, reached: undefined, good: false }
  const numbers = reached as number[]
  const worst = bar.atLeast === undefined ? Math.max(...numbers) : Math.min(...numbers)
  return { bar, reached: worst, good: worst >= (bar.atLeast ?? worst) && worst <= (bar.atMost ?? worst) }
}
