import type { Socket } from 'node:net'
import type { SocketAddress } from '../address.ts'
import type { TraceAnswer } from '../connection/trace.ts'
import { encodeProxyV2, newUniqueId } from '../proxy/proxy-header.ts'
import { tlvType } from '../proxy/tlv.ts'
import { traceMark } from '../proxy/trace-mark.ts'

/** Milliseconds that another end may take to judge its target. */
const verdictWithin = 10_000

/**
 * Sends a header that is marked over a new connection, as if of this client. Another end of ours answers; a service, or
 * HAProxy, sees a connection that sends nothing more.
 * @param patience milliseconds for the first byte of the answer.
 */
export async function sendMarked(
  socket: Socket,
  client: SocketAddress,
  patience: number,
): Promise<TraceAnswer | undefined> {
  const destination = { address: socket.remoteAddress!, port: socket.remotePort! }
  socket.write(markedHeader(client, destination, 'tcp'))
  let timer = setTimeout(() => socket.destroy(), patience)
  const chunks: Buffer[] = []
  // An end says at once that it is one, and then takes its time to look at its target.
  socket.on('data', chunk => {
    chunks.push(chunk)
    clearTimeout(timer)
    timer = setTimeout(() => socket.destroy(), chunk.includes('{') ? patience : verdictWithin)
  })
  socket.on('error', () => {})
  try {
    await new Promise(resolve => socket.once('end', resolve).once('close', resolve))
    const answer: unknown = JSON.parse(Buffer.concat(chunks).toString())
    return isAnswer(answer) ? answer : undefined
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

/** A header of this client that asks for an answer, with an id of its own. */
export function markedHeader(
  client: SocketAddress,
  destination: SocketAddress,
  transport: 'tcp' | 'udp',
): Buffer {
  const tlvs = [{ type: tlvType.UNIQUE_ID, value: newUniqueId() }, traceMark]
  return encodeProxyV2(client, destination, tlvs, undefined, transport).bytes
}

/** What is shown of it is what it should be; a service may answer JSON of its own. */
function isAnswer(value: unknown): value is TraceAnswer {
  const { forward, from, client, target, targetMs } = (value ?? {}) as Partial<TraceAnswer>
  return (
    [forward, from, client, target].every(text => typeof text === 'string') &&
    (targetMs === undefined || typeof targetMs === 'number')
  )
}

export function ownAddress(socket: Socket): SocketAddress {
  return { address: socket.localAddress!, port: socket.localPort! }
}
