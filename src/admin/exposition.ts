import { readdir, readFile } from 'node:fs/promises'
import { Counter, Gauge, Registry } from 'prom-client'
import type { ProcessUse } from './metric.ts'
import { metrics } from './metrics.ts'
import type { EndStatus } from './status.ts'

/**
 * The text exposition format 0.0.4. To be loaded by the first scrape: prom-client costs 40 ms and 21 MiB.
 *
 * What is loaded later is a module of ours, never a package by itself: of a package in CommonJS, the bundle's chunk has
 * a default export alone.
 */
export async function exposition(status: EndStatus): Promise<{ contentType: string; text: string }> {
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
