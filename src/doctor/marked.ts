import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import type { SocketAddress } from '../config/address.ts'
import { encodeProxyV2, newUniqueId } from '../forward/proxy-header.ts'
import { tlvType } from '../forward/tlv.ts'
import type { TraceAnswer } from '../forward/trace.ts'
import { traceMark } from '../forward/trace-mark.ts'

/**
 * Sends a header that is marked over a new connection, as if of this client. Another end of ours answers; a service, or
 * HAProxy, sees a connection that sends nothing more.
 * @param patience milliseconds for the answer.
 */
export async function sendMarked(
  socket: Socket,
  client: SocketAddress,
  patience: number,
): Promise<TraceAnswer | undefined> {
  const destination = { address: socket.remoteAddress!, port: socket.remotePort! }
  const tlvs = [{ type: tlvType.UNIQUE_ID, value: newUniqueId() }, traceMark]
  socket.write(encodeProxyV2(client, destination, tlvs).bytes)
  const timer = setTimeout(() => socket.destroy(), patience)
  try {
    return JSON.parse(await text(socket))
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
    socket.destroy()
  }
}

export function ownAddress(socket: Socket): SocketAddress {
  return { address: socket.localAddress!, port: socket.localPort! }
}
