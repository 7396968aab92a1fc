import type { Tools } from '../lab/agent.ts'
import type { Host } from '../lab/lab.ts'

/**
 * Visitors of a web server behind both ends, from a host: so many new connections a second, each with one request, and
 * long downloads beside them, one after the other. None ever tries twice.
 */
export class Visitors {
  readonly #host: Host

  private constructor(host: Host) {
    this.#host = host
  }

  static async begin(host: Host, options: VisitorsOptions): Promise<Visitors> {
    await host.run(begin, options)
    return new Visitors(host)
  }

  /** Waits for those who are under way. */
  async end(): Promise<Visits> {
    return this.#host.run(end)
  }
}

interface VisitorsOptions {
  readonly address: string
  /** They take turns. */
  readonly ports: readonly number[]
  readonly perSecond: number
  /** How many at a time, and what each must be. */
  readonly downloads: number
  readonly sha256: string
}

export interface Visits {
  readonly requests: number
  readonly downloads: number
  /** Milliseconds that the slowest request took. */
  readonly slowest: number
  readonly failed: number
  /** When each of the first that failed began, and what came of it. */
  readonly failures: readonly string[]
}

// What follows is sent to the host as text: each function stands alone.

async function begin(
  { address, ports, perSecond, downloads, sha256 }: VisitorsOptions,
  { state }: Tools,
): Promise<void> {
  const { connect } = await import('node:net')
  const { createHash } = await import('node:crypto')
  const began = performance.now()
  const visits = { requests: 0, downloads: 0, slowest: 0, failed: 0, failures: [] as string[] }
  const underWay = new Set<Promise<void>>()
  let turn = 0

  /** The answer's body, or what came in its place. */
  const get = (port: number, path: string) =>
    new Promise<Buffer | string>(resolve => {
      const chunks: Buffer[] = []
      const socket = connect({ host: address, port })
      socket.setTimeout(20_000, () => socket.destroy(new Error('nothing for 20 s')))
      socket.on('data', chunk => chunks.push(chunk))
      socket.once('error', error => resolve((error as NodeJS.ErrnoException).code ?? error.message))
      socket.once('end', () => {
        const answer = Buffer.concat(chunks)
        const body = answer.indexOf('\r\n\r\n') + 4
        const length = /^HTTP\/1\.1 200 [\s\S]*\r\nContent-Length: (\d+)\r\n/.exec(
          answer.toString('latin1', 0, body),
        )?.[1]
        if (length === undefined) resolve(`no answer, ${answer.length} bytes`)
        else if (answer.length - body === Number(length)) resolve(answer.subarray(body))
        else resolve(`${answer.length - body} of ${length} bytes`)
      })
      socket.once('close', () => resolve('closed'))
      socket.write(`GET ${path} HTTP/1.0\r\n\r\n`)
    })
  const visit = async (path: string, isRight: (body: Buffer) => boolean) => {
    const port = ports[turn++ % ports.length]!
    const at = performance.now()
    const body = await get(port, path)
    const end = typeof body === 'string' ? body : isRight(body) ? undefined : 'other content'
    if (end !== undefined) {
      visits.failed++
      if (visits.failures.length < 20)
        visits.failures.push(`${path} at :${port} after ${Math.round(at - began)} ms: ${end}`)
      await new Promise(resolve => setTimeout(resolve, 100))
    }
    return performance.now() - at
  }
  const track = (work: Promise<void>) => {
    underWay.add(work)
    void work.finally(() => underWay.delete(work))
  }
  const request = async () => {
    const took = await visit('/', body => /^203\.0\.113\.7 \d+\n$/.test(body.toString()))
    visits.requests++
    visits.slowest = Math.max(visits.slowest, took)
  }
  const download = async () => {
    while (!state.has('visitors leave')) {
      await visit('/big', body => createHash('sha256').update(body).digest('hex') === sha256)
      visits.downloads++
    }
  }
  let opened = 0
  const timer = setInterval(() => {
    const due = ((performance.now() - began) / 1000) * perSecond
    for (; opened < due; opened++) track(request())
  }, 5)
  for (let i = 0; i < downloads; i++) track(download())
  state.set('visitors', async () => {
    clearInterval(timer)
    state.set('visitors leave', true)
    while (underWay.size > 0) await Promise.all(underWay)
    state.delete('visitors leave')
    return visits
  })
}

function end(_: undefined, { state }: Tools): Promise<Visits> {
  return (state.get('visitors') as () => Promise<Visits>)()
}
