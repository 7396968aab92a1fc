import { setImmediate as turn } from 'node:timers/promises'
import { createLog } from '../../src/log/log.ts'

/**
 * A process that logs on its stdout whatever that is, and tells over IPC how it went. Sent a number it logs so many lines,
 * `n` in each counting on; sent `throw` it logs one and throws; sent `{ end }` it logs the last one, gives the log so many
 * milliseconds to end, and ends itself.
 */
const log = createLog('info')
let n = 0
process.send!('ready')
process.on('message', async (order: number | 'throw' | { end: number }) => {
  if (typeof order === 'number') await flood(order)
  else if (order === 'throw') {
    log.info({ n: n++ }, 'about to throw')
    throw new Error('as it was told')
  } else {
    log.info({ n: n++ }, 'last')
    const began = performance.now()
    await log.output.end(AbortSignal.timeout(order.end))
    process.send!({ took: performance.now() - began, dropped: log.output.dropped }, () => process.exit())
  }
})

async function flood(lines: number): Promise<void> {
  const rssBefore = process.memoryUsage.rss()
  for (let i = 0; i < lines; i++) {
    log.info({ n: n++, client: '203.0.113.7:40000', target: '10.1.10.2:80', bytes: 123_456 }, 'flood')
    if (i % 50 === 0) await turn()
  }
  process.send!({ grown: process.memoryUsage.rss() - rssBefore, dropped: log.output.dropped })
}
