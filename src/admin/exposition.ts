import { readdir, readFile } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Metric, ProcessUse, Scrape } from './metric.ts'
import { metrics } from './metrics.ts'
import type { EndStatus } from './status.ts'

/** The text exposition format 0.0.4 of Prometheus. */
export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

/** Each metric in a turn of the event loop of its own: of 4096 forwards there are 120,000 samples. */
export async function exposition(status: EndStatus): Promise<string> {
  const scrape = { status, ...(await processUse(status.tunnel?.process.pid)) }
  const texts: string[] = []
  for (const metric of metrics) {
    texts.push(textOf(metric, scrape))
    await nextTurn()
  }
  return texts.join('')
}

function textOf({ name, kind, help, labels, read }: Metric, scrape: Scrape): string {
  // No series may be there twice: of several reasons with one code, one is told.
  const series = new Map<string, number>()
  for (const sample of read(scrape)) {
    const pairs = labels.map(label => `${label}="${escaped(sample.labels[label] ?? '')}"`)
    series.set(pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`, sample.value)
  }
  if (series.size === 0) return ''
  const lines = Array.from(series, ([one, value]) => `${one} ${value}\n`)
  return `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n${lines.join('')}`
}

const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '"': '\\"', '\n': '\\n' }

/** The value of a label. */
function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, character => escapes[character]!)
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
