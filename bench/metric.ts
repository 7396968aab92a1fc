/** Numbers by the name of what they measure, the test's name first: `keep.rate`, `bulk1.cpu.pod`. */
export type Values = Record<string, number>

/** A line of the table. */
export interface Metric {
  readonly title: string
  readonly unit: string
  /** Names of values; several are shown beside each other, and the ratio is the last one's. */
  readonly keys: readonly string[]
}

export const metrics: readonly Metric[] = [
  { title: 'download, 1 stream', unit: 'Mbit/s', keys: ['bulk1.rate'] },
  { title: 'download, 8 streams', unit: 'Mbit/s', keys: ['bulk8.rate'] },
  { title: 'upload, 1 stream', unit: 'Mbit/s', keys: ['upload.rate'] },
  { title: 'keep-alive requests, 1 connection', unit: '/s', keys: ['single.rate'] },
  { title: 'their latency, median', unit: 'ms', keys: ['single.p50'] },
  { title: 'their latency, p90', unit: 'ms', keys: ['single.p90'] },
  { title: 'their latency, p99', unit: 'ms', keys: ['single.p99'] },
  { title: 'their latency, p99.9', unit: 'ms', keys: ['single.p99.9'] },
  { title: 'keep-alive requests, 64 connections', unit: '/s', keys: ['keep.rate'] },
  { title: 'their latency, median', unit: 'ms', keys: ['keep.p50'] },
  { title: 'their latency, p90', unit: 'ms', keys: ['keep.p90'] },
  { title: 'their latency, p99', unit: 'ms', keys: ['keep.p99'] },
  { title: 'new connections, 64 at once', unit: '/s', keys: ['new.rate'] },
  { title: 'their latency, median', unit: 'ms', keys: ['new.p50'] },
  { title: 'their latency, p90', unit: 'ms', keys: ['new.p90'] },
  { title: 'their latency, p99', unit: 'ms', keys: ['new.p99'] },
  { title: 'first byte at 40 ms round trip', unit: 'ms', keys: ['ttfb.time'] },
  { title: 'beside a download: requests, 16 connections', unit: '/s', keys: ['mix.rate'] },
  { title: 'their latency, median', unit: 'ms', keys: ['mix.p50'] },
  { title: 'their latency, p90', unit: 'ms', keys: ['mix.p90'] },
  { title: 'their latency, p99', unit: 'ms', keys: ['mix.p99'] },
  { title: 'the download meanwhile', unit: 'Mbit/s', keys: ['mix.bulk'] },
  { title: '/livez of the gateway, saturated, slowest', unit: 'ms', keys: ['livez.slowest'] },
  { title: 'CPU of a lone request', unit: 'µs', keys: cpu('single') },
  ...split('single'),
  { title: 'waiting for a processor, in all threads', unit: 'µs', keys: parts('single.wait') },
  { title: 'CPU of a request, 64 at a time', unit: 'µs', keys: cpu('keep') },
  ...split('keep'),
  { title: 'CPU of a connection', unit: 'µs', keys: cpu('new') },
  { title: 'CPU of a download, 1 stream', unit: 'ms/GB', keys: cpu('bulk1') },
  { title: 'CPU of an upload', unit: 'ms/GB', keys: cpu('upload') },
  { title: 'memory of an idle connection, gateway / pod', unit: 'kB', keys: ['idle.gateway', 'idle.pod'] },
  {
    title: 'of each further one',
    unit: 'kB',
    keys: ['idle.further.gateway', 'idle.further.pod'],
  },
  {
    title: 'memory after the start, gateway / pod',
    unit: 'MB',
    keys: ['startup.memory.gateway', 'startup.memory.pod'],
  },
  {
    title: 'time of the start, gateway / pod',
    unit: 'ms',
    keys: ['startup.time.gateway', 'startup.time.pod'],
  },
  ...[64, 1200].flatMap(size => [
    { title: `datagrams of ${size} bytes, at most 0.1 % lost`, unit: '/s', keys: [`udp${size}.rate`] },
    { title: 'their delay at 3,000/s, median', unit: 'ms', keys: [`udp${size}.p50`] },
    { title: 'their delay at 3,000/s, p99', unit: 'ms', keys: [`udp${size}.p99`] },
    { title: 'CPU of a datagram', unit: 'µs', keys: cpu(`udp${size}`) },
  ]),
  { title: 'beside 5,000 new flows/s: requests, 64 connections', unit: '/s', keys: ['udpflood.rate'] },
  { title: 'their share of those without the flows', unit: '×', keys: ['udpflood.requests'] },
  { title: 'the share of a download', unit: '×', keys: ['udpflood.download'] },
  { title: 'beside as many, 100 let in: requests', unit: '/s', keys: ['udplimit.rate'] },
  { title: 'their share of those without the flows', unit: '×', keys: ['udplimit.requests'] },
  { title: 'the share of a download', unit: '×', keys: ['udplimit.download'] },
]

/** Those of the gateway's program, the pod's, both wireguard-go, and the whole machine. */
function cpu(test: string): string[] {
  return [...parts(`${test}.cpu`), `${test}.cpu.machine`]
}

function parts(what: string): string[] {
  return ['gateway', 'pod', 'tunnel'].map(part => `${what}.${part}`)
}

/** What of it the programs themselves do, and what the kernel does for them. */
function split(test: string): Metric[] {
  return [
    { title: 'of it in the program', unit: 'µs', keys: parts(`${test}.user`) },
    { title: 'of it in the kernel', unit: 'µs', keys: parts(`${test}.system`) },
  ]
}
