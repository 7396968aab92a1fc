import { formatHostPort } from '../config/address.ts'
import type { Client } from './client.ts'
import type { Passage } from './passage.ts'
import type { ConnectionStatus } from './status.ts'

/** @param since milliseconds since the epoch. */
export function connectionStatus(
  forward: string,
  since: number,
  { source, serverName, id }: Client,
  { target, port, carrier }: Passage,
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
