import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatHostPort } from '../address.ts'
import type { TcpForwardConfig } from '../config/config.ts'
import { Dial } from '../upstream/dial.ts'
import type { Loops } from '../upstream/loops.ts'
import type { Verdict } from '../upstream/status.ts'
import type { Target } from '../upstream/target.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Upstreams } from '../upstream/upstreams.ts'
import type { Ways } from '../ways.ts'
import type { Client } from './client.ts'
import type { TcpForwardStatus } from './status.ts'

/** The answer to a marked connection. */

/** What an end tells of itself. */
export interface End {
  readonly version: string
  /** Bytes, of the tunnel's device; `undefined` without a tunnel. */
  readonly mtu: number | undefined
}

/** Judges a target, `ip:port`, of a forward. */
export type Judge = (forward: TcpForwardStatus, target: string) => Promise<Verdict | undefined>

/** What is told, as one line of JSON. */
export interface TraceAnswer extends End {
  readonly forward: string
  /** `ip:port` that the connection came from, and those that its header told. */
  readonly from: string
  readonly client: string
  readonly destination: string
  /** UNIQUE_ID in hex. */
  readonly id: string | undefined
  readonly sendProxy: TcpForwardConfig['sendProxy']
  readonly target: string
  /** Milliseconds that the target took to accept a connection, or why it did not. */
  readonly targetMs: number | undefined
  readonly targetError: string | undefined
  /** What the target makes of the header that it is sent. An end of an older version does not say. */
  readonly verdict?: Verdict | undefined
}

/** Milliseconds for a verdict. */
const verdictWithin = 5000
/** Verdicts that are sought at once. Each takes connections to a target, which are not counted. */
const mostVerdicts = 8

/** What is told beside what this connection shows. */
export interface Tracing {
  readonly end: () => End
  readonly judge?: Judge
}

interface Traced {
  readonly config: TcpForwardConfig
  readonly upstreams: Upstreams
  readonly tracing: Tracing
  readonly loops: Loops
  readonly ways: Ways
  status(): TcpForwardStatus
}

/** Answers and closes. Never rejects. */
export async function answerTrace(
  socket: Socket,
  client: Client,
  traced: Traced,
  offset: number,
): Promise<void> {
  const { config, upstreams, tracing } = traced
  socket.on('error', () => {})
  // The rest takes a while. White space is no part of JSON: an end of an older version takes the answer, too.
  socket.write('\n')
  const began = performance.now()
  const upstream = upstreams.any
  const { target, error } = await reach(traced, upstream, offset)
  const targetMs = error === undefined ? performance.now() - began : undefined
  const text = target === undefined ? upstream.text : formatHostPort(target.address, target.port + offset)
  const verdict = targetMs === undefined ? undefined : await verdictOf(tracing, traced.status(), text)
  if (error === undefined && target?.isDead === false) target.succeeded()
  if (verdict !== undefined) target?.judge(verdict)
  const answer: TraceAnswer = {
    ...tracing.end(),
    forward: config.name,
    from: formatHostPort(socket.remoteAddress ?? '', socket.remotePort ?? 0),
    client: formatHostPort(client.source.address, client.source.port),
    destination: formatHostPort(client.destination.address, client.destination.port),
    id: client.id,
    sendProxy: config.sendProxy,
    target: text,
    targetMs,
    targetError: error,
    verdict,
  }
  socket.end(`${JSON.stringify(answer)}\n`, () => socket.destroy())
}

let verdictsSought = 0

/** Without a word in time there is none: it is worth no answer that comes too late. None is sought beside many others. */
async function verdictOf({ judge }: Tracing, ...asked: Parameters<Judge>): Promise<Verdict | undefined> {
  if (judge === undefined || verdictsSought >= mostVerdicts) return undefined
  verdictsSought++
  const judged = judge(...asked)
    .catch(() => undefined)
    .finally(() => verdictsSought--)
  return Promise.race([judged, sleep(verdictWithin, undefined, { ref: false })])
}

interface Reached {
  readonly target: Target | undefined
  readonly error: string | undefined
}

/** Like a connection of a client, and closed at once. */
function reach(sender: Traced, upstream: Upstream, offset: number): Promise<Reached> {
  return new Promise(resolve => {
    const settle = (target: Target | undefined, error: string | undefined) => {
      clearTimeout(timer)
      resolve({ target, error })
    }
    const dial = new Dial(upstream, offset, {
      loop: target => sender.loops.wayBack.of(sender, target, target.port + offset),
      ways: sender.ways,
      linkTo: () => undefined,
      dialling: () => {},
      linked: () => {},
      dialled: (target, socket) => {
        socket.destroy()
        settle(target, undefined)
      },
      attemptFailed: () => {},
      dialFailed: (_, error) => settle(dial.target, error),
    })
    const timer = setTimeout(() => dial.expire('no answer'), sender.config.timeouts.connect)
    dial.next()
  })
}
