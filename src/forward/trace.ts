import type { Socket } from 'node:net'
import { formatHostPort } from '../config/address.ts'
import type { ForwardConfig } from '../config/config.ts'
import type { Ways } from '../ways.ts'
import type { Client } from './client.ts'
import { Dial } from './dial.ts'
import type { Target } from './target.ts'
import type { Upstream } from './upstream.ts'
import type { Upstreams } from './upstreams.ts'

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

interface Traced {
  readonly config: ForwardConfig
  readonly upstreams: Upstreams
  readonly ways: Ways
  readonly end: () => End
}

/** Answers and closes. Never rejects. */
export async function answerTrace(
  socket: Socket,
  client: Client,
  { config, upstreams, ways, end }: Traced,
  offset: number,
): Promise<void> {
  const began = performance.now()
  const upstream = upstreams.any
  const { target, error } = await reach(upstream, offset, config.timeouts.connect, ways)
  const answer: TraceAnswer = {
    ...end(),
    forward: config.name,
    from: formatHostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0),
    client: formatHostPort(client.source.address, client.source.port),
    destination: formatHostPort(client.destination.address, client.destination.port),
    id: client.id,
    sendProxy: config.sendProxy,
    target: target === undefined ? upstream.text : formatHostPort(target.address, target.port + offset),
    targetMs: error === undefined ? performance.now() - began : undefined,
    targetError: error,
  }
  socket.on('error', () => {})
  socket.end(`${JSON.stringify(answer)}\n`, () => socket.destroy())
}

interface Reached {
  readonly target: Target | undefined
  readonly error: string | undefined
}

/** Like a connection of a client, and closed at once. */
function reach(upstream: Upstream, offset: number, timeout: number, ways: Ways): Promise<Reached> {
  return new Promise(resolve => {
    const settle = (target: Target | undefined, error: string | undefined) => {
      clearTimeout(timer)
      resolve({ target, error })
    }
    const dial = new Dial(upstream, offset, {
      ways,
      linkTo: () => undefined,
      linked: () => {},
      dialled: (target, socket) => {
        socket.destroy()
        settle(target, undefined)
      },
      attemptFailed: () => {},
      dialFailed: (_, error) => settle(dial.target, error),
    })
    const timer = setTimeout(() => dial.expire('no answer'), timeout)
    dial.next()
  })
}
