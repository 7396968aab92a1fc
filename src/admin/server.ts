import type { AddressInfo, Server, Socket } from 'node:net'
import { createServer } from 'node:net'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type SocketAddress, unmap } from '../address.ts'
import { isoTime } from '../clock.ts'
import type { AdminConfig } from '../config/config.ts'
import { DURATION, parseDuration } from '../config/field.ts'
import { EndError, messageOf } from '../errors.ts'
import type { Log } from '../log/log.ts'
import type { Descriptors } from '../sockets/descriptors.ts'
import { listen } from '../sockets/listen.ts'
import { acceptStatic } from '../sockets/reader.ts'
import { Crowd } from './crowd.ts'
import { type Answer, Exchange, plain } from './exchange.ts'
import { exposition, expositionType } from './exposition.ts'
import type { HealthReport } from './health.ts'
import type { Request } from './request.ts'
import type { EndStatus } from './status.ts'
import { Views } from './views.ts'

/**
 * The admin server: read-only HTTP about the end, for probes, Prometheus and people. What it costs is bounded, whoever
 * asks and however: so many connections (Crowd), on each one request (Exchange), and little time for what takes time to
 * make (Views). Probes are answered at once, never behind any of that.
 */

export interface AdminOptions {
  readonly config: AdminConfig
  readonly health: () => HealthReport
  /** Whether the end has waited for so many milliseconds, in vain, for a first peer. */
  readonly outwaited: (patience: number) => boolean
  /** On performance.now()'s clock (clock.ts). */
  readonly startedAt: number
  /** Whether the first start is complete. */
  readonly started: () => boolean
  readonly status: () => EndStatus
  /** The document for people at `/`, and its Content-Security-Policy. */
  readonly render: (status: EndStatus) => { readonly body: string; readonly policy: string }
  readonly log: Log
  /** Milliseconds that a client has for its request, and twice as long for the answer. */
  readonly timeout?: number
  /** Part of what `Descriptors` keeps back. */
  readonly maxConnections?: number
  /** For some more while many are free. */
  readonly descriptors?: Descriptors
}

/** Clients at once that are slow to take a large answer; with one more the oldest is cut, as in the whole. */
const mostReaders = 4
/** Bytes that are left to be taken of a large answer, and milliseconds after which who takes it is slow. */
const large = 64 * 1024
const slow = 2000
/** A verdict of many reasons, thousands of targets for example, holds for as many times what it took to find. */
const verdictHolds = 10

type Route = (request: Request, socket: Socket) => Answer | Promise<Answer>

export class AdminServer {
  readonly #config: AdminConfig
  readonly #health: () => HealthReport
  readonly #status: () => EndStatus
  readonly #log: Log
  readonly #server: Server
  readonly #clients: Crowd
  readonly #readers = new Crowd(mostReaders)
  readonly #views = new Views()
  readonly #routes: ReadonlyMap<string, Route>
  #verdict: { readonly answer: Answer; readonly until: number } | undefined

  constructor(options: AdminOptions) {
    const { config, health, outwaited, startedAt, started, status, render, log } = options
    const { timeout = 5000, maxConnections = 48, descriptors } = options
    this.#config = config
    this.#health = health
    this.#status = status
    this.#log = log
    this.#clients = new Crowd(maxConnections, descriptors)
    this.#routes = new Map<string, Route>([
      ['/livez', () => healthAnswer(ready)],
      ['/startupz', () => healthAnswer(started() ? ready : starting(startedAt))],
      ['/readyz', ({ query }) => readyAnswer(this.#judge(), outwaited, query)],
      ['/metrics', ({ path }) => this.#view(path, metrics)],
      ['/', this.#private(status => document(render(status)))],
      ['/status.json', this.#private(status => json(200, status))],
    ])
    this.#server = createServer({ allowHalfOpen: true }, socket => {
      this.#clients.add(socket)
      new Exchange(socket, {
        respond: request => this.#respond(request, socket),
        answered: () => this.#watchReader(socket),
        timeout,
      })
    })
  }

  /** @throws EndError LISTEN_FAILED */
  async listen(): Promise<void> {
    await listen(this.#server, this.#config.host, this.#config.port).catch((error: EndError) => {
      const fix = error.fix === undefined ? {} : { fix: error.fix }
      throw new EndError(error.code, `admin.listen: ${error.message}`, { ...fix, cause: error })
    })
    acceptStatic(this.#server)
    // An accept(2) that fails (ENFILE, for example) is an event too, and would end the program if nobody listened.
    this.#server.on('error', error =>
      this.#log.warn({ error: messageOf(error) }, 'admin server failed to accept'),
    )
  }

  /** The bound address. Only while listening. */
  address(): SocketAddress {
    const { address, port } = this.#server.address() as AddressInfo
    return { address, port }
  }

  /** Ends at once, requests under way included. */
  async close(): Promise<void> {
    const closed = new Promise<unknown>(resolve => this.#server.close(resolve))
    this.#clients.close()
    await closed
  }

  /**
   * Views are made so seldom that in the time until a reader is slow there are few of them: clients that ask for one at
   * the same moment share it, and all of them get it.
   */
  #watchReader(socket: Socket): void {
    if (socket.writableLength <= large) return
    const timer = setTimeout(() => {
      if (socket.writableLength > large) this.#readers.add(socket)
    }, slow)
    socket.once('close', () => clearTimeout(timer))
  }

  async #respond(request: Request, socket: Socket): Promise<Answer> {
    this.#clients.heard(socket)
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return plain(405, 'This server is read-only: GET and HEAD.', { Allow: 'GET, HEAD' })
    const route = this.#routes.get(request.path)
    if (route === undefined) return plain(404, `Not found. There is: ${[...this.#routes.keys()].join(' ')}`)
    try {
      return await route(request, socket)
    } catch (error) {
      this.#log.error({ path: request.path, error: messageOf(error) }, 'admin request failed')
      return plain(500, 'This answer could not be made; the log says why.')
    }
  }

  #judge(): Answer {
    const began = performance.now()
    if (this.#verdict === undefined || began >= this.#verdict.until) {
      const answer = healthAnswer(this.#health())
      const now = performance.now()
      this.#verdict = { answer, until: now + verdictHolds * (now - began) }
    }
    return this.#verdict.answer
  }

  #view(path: string, make: (status: EndStatus) => Answer | Promise<Answer>): Promise<Answer> {
    return this.#views.get(path, async () => {
      const status = this.#status()
      await nextTurn()
      return make(status)
    })
  }

  /** For what shows client addresses. */
  #private(make: (status: EndStatus) => Answer): Route {
    return ({ path, host }, socket) => {
      if (this.#config.page === 'all' || isLocal(socket, host)) return this.#view(path, make)
      return plain(
        403,
        'This shows client addresses, so it answers only loopback clients that ask for a loopback host ' +
          '(localhost, 127.0.0.1, [::1]). Use a port-forward (kubectl port-forward, ssh -L), ' +
          'or set admin.page: all to show it to everyone who reaches this port.',
      )
    }
  }
}

/**
 * A loopback client that names a loopback host. The client address alone would not do: with DNS rebinding, a web page
 * on somebody's name makes the browser of the person at a port-forward connect to 127.0.0.1, but its Host is that name.
 */
function isLocal({ remoteAddress }: Socket, host: string | undefined): boolean {
  const address = unmap(remoteAddress ?? '')
  return (
    (address === '::1' || address.startsWith('127.')) &&
    /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(host ?? '')
  )
}

const ready: HealthReport = { status: 'ready', reasons: [] }

function starting(startedAt: number): HealthReport {
  const detail = 'the first start is not complete'
  return { status: 'unready', reasons: [{ code: 'starting', detail, since: isoTime(startedAt) }] }
}

function healthAnswer(report: HealthReport): Answer {
  return json(report.status === 'unready' ? 503 : 200, report)
}

/** With `?patience=2m`, 200 also for an end that has waited for longer than that for a first peer. */
function readyAnswer(answer: Answer, outwaited: AdminOptions['outwaited'], query: string): Answer {
  const asked = new URLSearchParams(query).get('patience')
  if (asked === null) return answer
  const patience = parseDuration(asked)
  if (patience === undefined) return plain(400, `patience: allowed: ${DURATION}.`)
  return answer.code === 200 || outwaited(patience) ? { ...answer, code: 200 } : answer
}

async function metrics(status: EndStatus): Promise<Answer> {
  return { code: 200, contentType: expositionType, body: await exposition(status) }
}

function document({ body, policy }: ReturnType<AdminOptions['render']>): Answer {
  const headers = { 'Content-Security-Policy': policy, 'Referrer-Policy': 'no-referrer' }
  return { code: 200, contentType: 'text/html; charset=utf-8', body, headers }
}

function json(code: 200 | 503, value: object): Answer {
  return {
    code,
    contentType: 'application/json; charset=utf-8',
    body: Buffer.from(`${JSON.stringify(value)}\n`),
  }
}
