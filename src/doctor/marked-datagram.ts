import { createSocket } from 'node:dgram'
import { familyOf, type SocketAddress, unmap } from '../address.ts'
import type { DatagramTraceAnswer } from '../datagram/trace.ts'
import { messageOf, systemCode } from '../errors.ts'
import { markedHeader } from './marked.ts'

/** How often it is sent, since a datagram may be lost, and the milliseconds that each has for an answer. */
const tries = 3
const patience = 1000

export type MarkedAnswer =
  | { readonly answer: DatagramTraceAnswer; readonly ms: number; readonly sent: number }
  /** It cannot be sent, or the host says that nothing listens there. */
  | { readonly error: string }

/**
 * Sends a datagram that is nothing but a marked header, as if of this client. Another end of ours answers; what takes a
 * header before every datagram finds nothing behind it, and drops it.
 * @param client without one, the address that it is sent from.
 * @returns nothing where nobody answers any of them.
 */
export function sendMarkedDatagram(
  target: SocketAddress,
  client?: SocketAddress,
): Promise<MarkedAnswer | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(familyOf(target.address) === 6 ? 'udp6' : 'udp4')
    let timer: NodeJS.Timeout | undefined
    let [sent, sentAt] = [0, 0]
    let isSettled = false
    const settle = (result: MarkedAnswer | undefined) => {
      if (isSettled) return
      isSettled = true
      clearTimeout(timer)
      socket.removeAllListeners().on('error', () => {})
      socket.close()
      resolve(result)
    }
    const fail = (error: Error) => settle({ error: systemCode(error) ?? messageOf(error) })
    const send = () => {
      if (sent === tries) return settle(undefined)
      sent++
      sentAt = performance.now()
      timer = setTimeout(send, patience)
      // What is refused is told to the callback of a later send, or as `error`.
      socket.send(markedHeader(client ?? own(socket.address()), target, 'udp'), error => error && fail(error))
    }
    socket.on('error', fail)
    socket.on('message', bytes => {
      const answer = answerOf(bytes)
      if (answer !== undefined) settle({ answer, ms: performance.now() - sentAt, sent })
    })
    // With a callback Node gives a failure to it, as its argument, and emits no `error`.
    socket.connect(target.port, target.address, (error?: Error) => {
      if (error === undefined) send()
      else fail(error)
    })
  })
}

function own({ address, port }: SocketAddress): SocketAddress {
  return { address: unmap(address), port }
}

/** What is shown of it is what it should be; a service may answer JSON of its own. */
function answerOf(bytes: Buffer): DatagramTraceAnswer | undefined {
  try {
    const answer: unknown = JSON.parse(bytes.toString())
    const { forward, from, client, target } = (answer ?? {}) as Partial<DatagramTraceAnswer>
    const isOurs = [forward, from, client, target].every(text => typeof text === 'string')
    return isOurs ? (answer as DatagramTraceAnswer) : undefined
  } catch {
    return undefined
  }
}
