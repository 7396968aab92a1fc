import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { HostPorts } from '../../src/address.ts'
import type { ForwardConfig, TcpForwardConfig, UpstreamConfig } from '../../src/config/config.ts'
import { Forwarder } from '../../src/forward/forwarder.ts'
import type { ForwardPlan } from '../../src/forward/plan.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { allOpen, type Ways } from '../../src/ways.ts'
import { freePort } from '../fixtures/free-port.ts'
import { recordingLog } from '../fixtures/log.ts'

/** Forwards on loopback with a target of the test's own. */

export const at = (host: string, first: number, last = first): HostPorts => ({ host, first, last })

/** These targets, in order, none of which is tried without a client. */
export const to = (...targets: readonly HostPorts[]): UpstreamConfig => ({
  targets,
  balance: 'first',
  check: false,
})

/** A forward from a free port of 127.0.0.1 to `target`, without headers, unless `changes` says otherwise. */
export function config(target: number, changes: Partial<TcpForwardConfig> = {}): TcpForwardConfig {
  return {
    name: 'web',
    protocol: 'tcp',
    listen: at('127.0.0.1', 0),
    upstream: to(at('127.0.0.1', target)),
    routes: [],
    acceptProxy: false,
    trustedProxies: [{ address: '127.0.0.0', bits: 8, family: 4 }],
    sendProxy: false,
    proxyHeaderLimit: 107,
    limits: {},
    timeouts: { connect: 5_000, header: 5_000, idle: 0, halfClosed: 300_000 },
    ...changes,
  }
}

/** A target that gives each connection to the test. */
export class Backend {
  readonly server: Server
  readonly #sockets: Socket[] = []
  readonly #takers: ((socket: Socket) => void)[] = []

  constructor() {
    this.server = createServer({ allowHalfOpen: true }, socket => {
      socket.on('error', () => {})
      const taker = this.#takers.shift()
      if (taker === undefined) this.#sockets.push(socket)
      else taker(socket)
    })
  }

  static async listen(t: Test, host = '127.0.0.1', port = 0): Promise<Backend> {
    const backend = new Backend()
    await once(backend.server.listen(port, host), 'listening')
    t.teardown(() => backend.server.close())
    return backend
  }

  get port(): number {
    return (this.server.address() as { port: number }).port
  }

  /** The next connection. */
  async socket(): Promise<Socket> {
    return this.#sockets.shift() ?? new Promise(resolve => this.#takers.push(resolve))
  }
}

/** Without links, unless they are asked for. */
export function plan(
  forwards: readonly ForwardConfig[],
  tunnelAddresses: readonly string[] = [],
  drainTimeout = 1,
  link?: ForwardPlan['link'],
  peers: ForwardPlan['peers'] = [],
): ForwardPlan {
  return { forwards, tunnelAddresses, drainTimeout, link, peers }
}

/** Links on loopback: from this end to the far ends at these addresses, and from anybody to this end. */
export function links(port: number, peers: readonly string[] = []): NonNullable<ForwardPlan['link']> {
  return { port, peers, perPeer: () => 1, trusted: [{ address: '127.0.0.0', bits: 8, family: 4 }] }
}

/** A forwarder with these forwards, on free ports where they name port 0; ended with the test. */
export async function forwarding(
  t: Test,
  configs: readonly ForwardConfig[],
  options: {
    resolve?: (host: string) => Promise<readonly string[]>
    seen?: (address: string, throughTunnel: boolean) => void
    tunnel?: readonly string[]
    descriptors?: Descriptors
    ways?: Ways
    link?: ForwardPlan['link']
    peers?: ForwardPlan['peers']
  } = {},
) {
  const { log, lines } = recordingLog()
  const resolve = options.resolve ?? (async (host: string) => [host])
  const descriptors = options.descriptors ?? new Descriptors(Number.POSITIVE_INFINITY)
  const forwarder = new Forwarder({
    log,
    descriptors,
    logConnections: () => true,
    resolve,
    ways: options.ways ?? allOpen,
    seen: options.seen,
  })
  const placed: ForwardConfig[] = []
  for (const config of configs)
    placed.push(
      config.listen.first > 0 ? config : { ...config, listen: at(config.listen.host, await freePort()) },
    )
  const change = await forwarder.prepare(plan(placed, options.tunnel, 1_000, options.link, options.peers))
  change.commit()
  t.teardown(() => forwarder.drain(AbortSignal.abort()))
  /** Lines of that message, fields only. */
  const logged = (message: string) => lines.flatMap(([, fields, text]) => (text === message ? [fields] : []))
  return {
    forwarder,
    placed,
    lines,
    logged,
    port: placed[0]!.listen.first,
    status: () => forwarder.status()[0]!,
  }
}

/** A client's connection on its way, half-open-capable: it may be reset before it is there. */
export function dial(port: number, host = '127.0.0.1', from?: string): Socket {
  const way = { port, host, allowHalfOpen: true, autoSelectFamily: false }
  // A test that is not about errors does not end with one.
  return connect({ ...way, ...(from && { localAddress: from }) }).on('error', () => {})
}

/** One that is there. */
export async function open(port: number, host?: string, from?: string): Promise<Socket> {
  const socket = dial(port, host, from)
  await once(socket, 'connect')
  return socket
}

/** How a connection ended: everything it received, and `end` or the error's code; or, with so many bytes, `enough`. */
export async function outcome(
  socket: Socket,
  enough = Number.POSITIVE_INFINITY,
): Promise<{ received: string; end: string }> {
  let received = ''
  return new Promise(resolve => {
    socket.on('data', chunk => {
      received += chunk.toString('latin1')
      if (received.length >= enough) resolve({ received, end: 'enough' })
    })
    socket.once('end', () => resolve({ received, end: 'end' }))
    socket.once('error', (error: NodeJS.ErrnoException) => resolve({ received, end: error.code! }))
  })
}

/** Until `condition` holds; the test's own time-out bounds it. */
export async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(resolve => setTimeout(resolve, 5))
}
