import { once } from 'node:events'
import type { Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import { messageOf } from '../errors.ts'
import type { Client } from './client.ts'
import { Dial } from './dial.ts'

/** The answer to a marked connection. */

/** What an end tells of itself. */
export interface End {
  readonly version: string
  /** Bytes, of the tunnel's device; `undefined` without a tunnel. */
  readonly mtu: number | undefined
}

/** What is told, as one line of JSON. */
export interface TraceAnswer extends End {
  readonly forward: string
  /** `ip:port` that the connection came from, and those that its header told. */
  readonly from: string
  readonly client: string
  readonly destination: string
  /** UNIQUE_ID in hex. */
  readonly id: string | undefined
  readonly sendProxy: ForwardConfig['sendProxy']
  readonly target: string
  /** Milliseconds that the target took to accept a connection, or why it did not. */
  readonly targetMs: number | undefined
  readonly targetError: string | undefined
}

type Resolve = (host: string) => Promise<readonly string[]>

interface Traced {
  readonly config: ForwardConfig
  readonly resolve: Resolve
  readonly end: () => End
}

/** Answers and closes. Never rejects. */
export async function answerTrace(
  socket: Socket,
  client: Client,
  { config, resolve, end }: Traced,
  targetPort: number,
): Promise<void> {
  const began = performance.now()
  const error = await dial(config, targetPort, resolve).then(() => undefined, messageOf)
  const answer: TraceAnswer = {
    ...end(),
    forward: config.name,
    from: formatHostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0),
    client: formatHostPort(client.source.address, client.source.port),
    destination: formatHostPort(client.destination.address, client.destination.port),
    id: client.id?.toString('hex'),
    sendProxy: config.sendProxy,
    target: formatHostPort(config.target.host, targetPort),
    targetMs: error === undefined ? performance.now() - began : undefined,
    targetError: error,
  }
  socket.on('error', () => {})
  socket.end(`${JSON.stringify(answer)}\n`, () => socket.destroy())
}

async function dial({ target, timeouts }: ForwardConfig, port: number, resolve: Resolve): Promise<void> {
  const addresses = await resolve(target.host)
  const { promise, resolve: done, reject } = Promise.withResolvers<void>()
  const attempt = new Dial(
    addresses,
    port,
    socket => {
      socket.destroy()
      done()
    },
    reject,
  )
  const late = AbortSignal.timeout(timeouts.connect)
  await Promise.race([
    promise,
    once(late, 'abort').then(() => Promise.reject(new Error('no answer'))),
  ]).finally(() => attempt.cancel())
}
