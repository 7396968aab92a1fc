import { readdir, readFile } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ProcessUse } from './metric.ts'
import { metrics } from './metrics.ts'
import type { EndStatus } from './status.ts'

/** The text exposition format 0.0.4 of Prometheus. */
export const expositionType = 'text/plain; version=0.0.4; charset=utf-8'

/** Samples that are written in one turn of the event loop: of 4096 forwards there are 120,000. */
const slice = 2000

export async function exposition(status: EndStatus): Promise<string> {
  const scrape = { status, ...(await processUse(status.tunnel?.process.pid)) }
  let written = 0
  let text = ''
  for (const { name, kind, help, labels, read } of metrics) {
    // No series may be there twice: of several reasons with one code, one is told.
    const series = new Map<string, number>()
    for (const sample of read(scrape)) {
      series.set(seriesOf(name, labels, sample.labels), sample.value)
      if (++written % slice === 0) await nextTurn()
    }
    if (series.size === 0) continue
    text += `# HELP ${name} ${help}\n# TYPE ${name} ${kind}\n`
    for (const [one, value] of series) text += `${one} ${value}\n`
  }
  return text
}

function seriesOf(name: string, labels: readonly string[], values: Readonly<Record<string, string>>): string {
  if (labels.length === 0) return name
  return `${name}{${labels.map(label => `${label}="${escaped(values[label] ?? '')}"`).join(',')}}`
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
