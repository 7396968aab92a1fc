import { formatHostPort } from '../address.ts'
import type { Target } from '../upstream/target.ts'
import type { Carrier } from './carrier.ts'
import type { Client } from './client.ts'
import type { ConnectionStatus } from './status.ts'

/** How far a client has come. */
interface Progress {
  readonly target: Target | undefined
  readonly port: number
  readonly carrier: Carrier | undefined
}

/** @param since on performance.now()'s clock. */
export function connectionStatus(
  forward: string,
  since: number,
  { source, serverName, id }: Client,
  { target, port, carrier }: Progress,
): ConnectionStatus {
  return {
    forward,
    client: formatHostPort(source.address, source.port),
    serverName,
    target: target && formatHostPort(target.address, port),
    since,
    receivedBytes: carrier?.receivedBytes ?? 0,
    sentBytes: carrier?.sentBytes ?? 0,
    id,
  }
}
