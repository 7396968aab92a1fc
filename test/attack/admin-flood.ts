import type { Test } from 'tap'
import type { Host } from '../lab/lab.ts'
import { type Seen, tell } from './watch.ts'
import { type AttackOptions, type AttackWorld, attackWorld } from './world.ts'

/** What is sent to an admin server, again on each connection that it closes. */
export interface Flood {
  /** At the same time. */
  readonly connections: number
  /** Sent at once, so many times. */
  readonly text: string
  readonly times: number
  /** Whether answers are read. */
  readonly reads: boolean
  /** Then one more byte of this every so many milliseconds. */
  readonly drip?: { readonly byte: string; readonly every: number }
  readonly ms: number
}

export type Sent = Flood & { readonly from: 'crowd' | 'gateway' }

/** Where the victim's admin server is found: on loopback, and by everybody. */
export const onLoopback = { host: '127.0.0.1', port: 9586 } as const
export const fromOutside = { host: '203.0.113.1', port: 9586 } as const

export const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

/** MiB and files (48, and 200 while many are free) that the admin server may take for all that asks it. */
const mostMemory = 96
const mostFiles = 260

/** A world whose admin server everybody reaches, and who asks for metrics as Prometheus does. */
export async function adminWorld(options: AttackOptions = {}) {
  return attackWorld({ ...options, config: `admin: { listen: ":9586", page: all }\n${options.config ?? ''}` })
}

/** Runs some floods at once, and says what was seen of the victim, its good clients and a good scraper meanwhile. */
export async function flooded(
  t: Test,
  world: AttackWorld,
  what: string,
  floods: readonly Sent[],
): Promise<{ readonly alone: Seen; readonly beside: Seen }> {
  const alone = await world.watch.alone(500)
  await world.good.run(scrape, { host: '192.0.2.1', port: 9586 })
  const beside = await world.watch.during(() =>
    Promise.all(
      floods.map(({ from, ...flood }) =>
        world[from].run(send, { ...(from === 'crowd' ? fromOutside : onLoopback), ...flood }),
      ),
    ),
  )
  const scraped = await scrapedBy(world.good)
  tell(t, what, beside)
  t.comment(
    `${scraped.whole} scrapes, ${scraped.failed} failed, the slowest took ${scraped.slowest.toFixed(0)} ms`,
  )
  t.equal(beside.failed, 0, 'no good connection is refused')
  t.ok(beside.livez <= 250, `/livez answers within ${beside.livez.toFixed(0)} ms`)
  t.ok(beside.memory <= alone.memory + mostMemory, `${beside.memory - alone.memory} MiB more`)
  t.ok(
    beside.descriptors <= alone.descriptors + mostFiles,
    `${beside.descriptors - alone.descriptors} files more`,
  )
  t.equal(scraped.failed, 0, 'no scrape from elsewhere fails')
  t.ok(scraped.whole > 0, `${scraped.whole} scrapes`)
  t.ok(beside.lines <= 20, `${beside.lines} lines`)
  return { alone, beside }
}

/** Runs in an agent. */
async function send(flood: Flood & { host: string; port: number }): Promise<number> {
  const net = await import('node:net')
  const { host, port, connections, text, times, reads, drip, ms } = flood
  const bytes = Buffer.from(text.repeat(times))
  const until = performance.now() + ms
  let opened = 0
  const one = () =>
    new Promise<void>(resolve => {
      opened++
      const socket = net.connect({ host, port, autoSelectFamily: false })
      const over = setTimeout(() => socket.destroy(), until - performance.now())
      const dripping = drip && setInterval(() => socket.write(drip.byte), drip.every)
      socket.on('error', () => {})
      socket.on('close', () => {
        clearTimeout(over)
        clearInterval(dripping)
        resolve()
      })
      if (reads) socket.resume()
      if (bytes.length > 0) socket.write(bytes)
    })
  const again = async () => {
    while (performance.now() < until) {
      await one()
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }
  await Promise.all(Array.from({ length: connections }, again))
  return opened
}

interface Scraped {
  whole: number
  failed: number
  slowest: number
}

/** Asks for /metrics all the time, as somebody who waits 5 s for it. Runs in an agent. */
async function scrape(
  { host, port }: { host: string; port: number },
  { state }: { state: Map<string, unknown> },
) {
  const scraped: Scraped = { whole: 0, failed: 0, slowest: 0 }
  let isOver = false
  const run = async () => {
    while (!isOver) {
      const began = performance.now()
      try {
        const answer = await fetch(`http://${host}:${port}/metrics`, { signal: AbortSignal.timeout(5000) })
        if (!/^wg_punchhole_ready /m.test(await answer.text())) throw new Error('not whole')
        scraped.whole++
      } catch {
        scraped.failed++
      }
      scraped.slowest = Math.max(scraped.slowest, performance.now() - began)
      await new Promise(resolve => setTimeout(resolve, 200))
    }
  }
  const running = run()
  state.set('scraping', async () => {
    isOver = true
    await running
    return scraped
  })
}

function scrapedBy(host: Host): Promise<Scraped> {
  return host.run(
    async (_: undefined, { state }) => (state.get('scraping') as () => Promise<Scraped>)(),
    undefined,
  )
}
