import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type SocketAddress, unmap } from '../config/address.ts'
import type { AdminConfig } from '../config/config.ts'
import { DURATION, parseDuration } from '../config/field.ts'
import { EndError, messageOf } from '../errors.ts'
import { listen } from '../listen.ts'
import type { Log } from '../log.ts'
import type { HealthReport } from './health.ts'
import type { EndStatus } from './status.ts'

// An import would read all that it exports, WebSocket among it, which loads 14 MB.
const { createServer } = process.getBuiltinModule('node:http')

/** The admin server: read-only HTTP about the end, for probes, Prometheus and people. */

export interface AdminOptions {
  readonly config: AdminConfig
  readonly health: () => HealthReport
  /** Whether the end has waited for so many milliseconds, in vain, for a first peer. */
  readonly outwaited: (patience: number) => boolean
  /** Whether the first start is complete. */
  readonly started: () => boolean
  readonly status: () => EndStatus
  /** The document for people at `/`, and its Content-Security-Policy. */
  readonly render: (status: EndStatus) => { readonly body: string; readonly policy: string }
  readonly log: Log
  /** Milliseconds that a client has for its request, and may then stay idle. */
  readonly timeout?: number
  /** At one more, the oldest connection is closed: idle clients never lock a probe out. */
  readonly maxConnections?: number
}

interface Answer {
  readonly code: number
  readonly contentType: string
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export class AdminServer {
  readonly #config: AdminConfig
  readonly #status: () => EndStatus
  readonly #log: Log
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #routes: ReadonlyMap<string, (request: IncomingMessage) => Answer | Promise<Answer>>

  constructor({
    config,
    health,
    outwaited,
    started,
    status,
    render,
    log,
    timeout = 5000,
    maxConnections = 64,
  }: AdminOptions) {
    this.#config = config
    this.#status = status
    this.#log = log
    this.#routes = new Map<string, (request: IncomingMessage) => Answer | Promise<Answer>>([
      ['/livez', () => healthAnswer({ status: 'ready', reasons: [] })],
      [
        '/startupz',
        () => healthAnswer(started() ? { status: 'ready', reasons: [] } : starting(status().startedAt)),
      ],
      ['/readyz', request => readyAnswer(health(), outwaited, request)],
      ['/metrics', () => this.#metrics()],
      ['/', request => this.#private(request, () => document(render(this.#status())))],
      ['/status.json', request => this.#private(request, () => json(200, this.#status()))],
    ])
    this.#server = createServer(
      {
        maxHeaderSize: 8192,
        headersTimeout: timeout,
        requestTimeout: timeout,
        keepAliveTimeout: timeout,
        connectionsCheckingInterval: timeout / 5,
      },
      (request, response) => void this.#respond(request, response),
    )
    this.#server.timeout = timeout
    // Of a pipelined flood, node:http reads some thousand requests before it waits for the client to read answers.
    this.#server.maxRequestsPerSocket = 100
    this.#server.on('dropRequest', (_, socket) => socket.destroy())
    this.#server.on('connection', socket => this.#admit(socket, maxConnections))
  }

  /** @throws EndError LISTEN_FAILED */
  async listen(): Promise<void> {
    await listen(this.#server, this.#config.host, this.#config.port).catch((error: EndError) => {
      const fix = error.fix === undefined ? {} : { fix: error.fix }
      throw new EndError(error.code, `admin.listen: ${error.message}`, { ...fix, cause: error })
    })
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
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #admit(socket: Socket, maxConnections: number): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    const [oldest] = this.#sockets
    if (this.#sockets.size > maxConnections) oldest?.destroy()
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { code, contentType, body, headers } = await this.#answer(request)
    response.writeHead(code, {
      'Content-Type': contentType,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      ...headers,
    })
    response.end(body)
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return text(405, 'This server is read-only: GET and HEAD.', { Allow: 'GET, HEAD', Connection: 'close' })
    const path = request.url?.split('?', 1)[0] ?? ''
    const route = this.#routes.get(path)
    if (route === undefined) return text(404, `Not found. There is: ${[...this.#routes.keys()].join(' ')}`)
    try {
      return await route(request)
    } catch (error) {
      this.#log.error({ path, error: messageOf(error) }, 'admin request failed')
      return text(500, 'This answer could not be made; the log says why.')
    }
  }

  async #metrics(): Promise<Answer> {
    const { exposition } = await import('./exposition.ts')
    const { contentType, text } = await exposition(this.#status())
    return { code: 200, contentType, body: text }
  }

  /** For what shows client addresses. */
  #private(request: IncomingMessage, answer: () => Answer): Answer {
    if (this.#config.page === 'all' || isLocal(request)) return answer()
    return text(
      403,
      'This shows client addresses, so it answers only loopback clients that ask for a loopback host ' +
        '(localhost, 127.0.0.1, [::1]). Use a port-forward (kubectl port-forward, ssh -L), ' +
        'or set admin.page: all to show it to everyone who reaches this port.',
    )
  }
}

/**
 * A loopback client that names a loopback host. The client address alone would not do: with DNS rebinding, a web page
 * on somebody's name makes the browser of the person at a port-forward connect to 127.0.0.1, but its Host is that name.
 */
function isLocal({ socket, headers }: IncomingMessage): boolean {
  const address = unmap(socket.remoteAddress ?? '')
  return (
    (address === '::1' || address.startsWith('127.')) &&
    /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?$/i.test(headers.host ?? '')
  )
}

function starting(since: string): HealthReport {
  return {
    status: 'unready',
    reasons: [{ code: 'starting', detail: 'the first start is not complete', since }],
  }
}

function healthAnswer(report: HealthReport): Answer {
  return json(report.status === 'unready' ? 503 : 200, report)
}

/** With `?patience=2m`, 200 also for an end that has waited for longer than that for a first peer. */
function readyAnswer(
  report: HealthReport,
  outwaited: AdminOptions['outwaited'],
  request: IncomingMessage,
): Answer {
  const asked = new URLSearchParams(request.url?.split('?', 2)[1]).get('patience')
  const answer = healthAnswer(report)
  if (asked === null) return answer
  const patience = parseDuration(asked)
  if (patience === undefined) return text(400, `patience: allowed: ${DURATION}.`)
  return outwaited(patience) ? { ...answer, code: 200 } : answer
}

function document({ body, policy }: ReturnType<AdminOptions['render']>): Answer {
  const headers = { 'Content-Security-Policy': policy, 'Referrer-Policy': 'no-referrer' }
  return { code: 200, contentType: 'text/html; charset=utf-8', body, headers }
}

function json(code: number, value: object): Answer {
  return { code, contentType: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` }
}

function text(code: number, line: string, headers: Answer['headers'] = {}): Answer {
  return { code, contentType: 'text/plain; charset=utf-8', body: `${line}\n`, headers }
}
