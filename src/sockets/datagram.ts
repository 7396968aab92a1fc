import { createSocket, type Socket } from 'node:dgram'
import { familyOf, type SocketAddress } from '../address.ts'
import type { RestingPorts } from './resting-ports.ts'

/**
 * Sockets of datagrams, to and at literal addresses. Node looks up each address of a send, and answers in a later turn:
 * these take it for what it is, so that a bind, a connect and a send are done when the call returns.
 */

/** Bytes that the kernel may keep for all clients until they are read; net.core.rmem_max bounds it. */
const receiveBuffer = 4 << 20
/** Bytes that may wait for the kernel to take them. More come faster than they leave, and are better lost. */
export const mostQueued = 262_144
/** How often another source port is looked for in the place of one that rests. */
const mostTries = 8

function open(address: string, recvBufferSize?: number): Socket {
  const family = familyOf(address) === 6 ? 6 : 4
  return createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    ipv6Only: family === 6,
    recvBufferSize,
    lookup: (host, _, done) => done(null, host, family),
  })
}

/** Binds a socket. Rejects with the system's error. */
export async function bindDatagrams(address: string, port: number): Promise<Socket> {
  const socket = open(address, receiveBuffer)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('error', reject)
  socket.bind({ address, port, exclusive: true }, resolve)
  try {
    await promise
  } catch (error) {
    socket.close()
    throw error
  }
  socket.off('error', reject)
  return socket
}

/** A socket that sends to one address and port, and receives from nowhere else. */
export interface Connected {
  readonly socket: Socket
  /** Where it sends from; `undefined` where it could not connect. */
  readonly source: SocketAddress | undefined
}

/**
 * What fails is told to `failed`, later: that it cannot connect (ENETUNREACH, EMFILE), and ECONNREFUSED, an answer by ICMP
 * to what was sent before.
 * @param resting source ports that it is not to have, if another one is to be found
 */
export function connectDatagrams(
  address: string,
  port: number,
  failed: (error: Error) => void,
  resting: RestingPorts,
): Connected {
  const rested: Socket[] = []
  for (;;) {
    const socket = open(address)
    // A bind fails within the call, before anybody has the socket.
    socket.on('error', error => process.nextTick(failed, error))
    socket.connect(port, address)
    const source = sourceOf(socket)
    if (source === undefined || rested.length === mostTries || !resting.has(source.port, performance.now())) {
      for (const each of rested) each.close()
      return { socket, source }
    }
    // It stays open, so that the next one has another port.
    rested.push(socket)
  }
}

/** Before it has connected, a socket is bound to no address. */
function sourceOf(socket: Socket): SocketAddress | undefined {
  try {
    const source = socket.address()
    return source.address === '0.0.0.0' || source.address === '::' ? undefined : source
  } catch {
    // It could not be opened (EMFILE).
    return undefined
  }
}
