import { formatHostPort } from '../address.ts'
import type { PeerConfig } from '../config/config.ts'
import type { Names } from './names.ts'

/** A word for the peer whose configured endpoint has this address, by what its name is known to stand for; else nothing. */
export function peerAt(
  address: string,
  peers: readonly Pick<PeerConfig, 'publicKey' | 'endpoint'>[],
  names: Pick<Names, 'known'>,
): string | undefined {
  for (const { publicKey, endpoint } of peers)
    if (endpoint !== undefined && names.known(endpoint.host).includes(address))
      return `${publicKey.slice(0, 8)} (Endpoint = ${formatHostPort(endpoint.host, endpoint.port)})`
  return undefined
}
