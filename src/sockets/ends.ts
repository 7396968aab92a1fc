import type { Socket } from 'node:net'
import { type SocketAddress, unmap } from '../address.ts'

/** The two ends of a connection, as its socket knows them; addresses are empty once it is gone. */
export interface Ends {
  /** Who connected. */
  readonly source: SocketAddress
  readonly destination: SocketAddress
}

/** Of a connection that this program has accepted. */
export function acceptedEnds({ remoteAddress, remotePort, localAddress, localPort }: Socket): Ends {
  return { source: end(remoteAddress, remotePort), destination: end(localAddress, localPort) }
}

/** Of a connection that this program has dialled. */
export function dialledEnds({ remoteAddress, remotePort, localAddress, localPort }: Socket): Ends {
  return { source: end(localAddress, localPort), destination: end(remoteAddress, remotePort) }
}

function end(address = '', port = 0): SocketAddress {
  return { address: unmap(address), port }
}
