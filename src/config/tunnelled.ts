import { type Cidr, isLinkLocal } from '../address.ts'
import type { TunnelConfig } from './config.ts'
import { Covered } from './covered.ts'

/**
 * The prefixes whose data goes through the tunnel or nowhere: those that are routed to a peer, and the subnet of an own
 * Address that a shorter prefix of a peer covers. A short one alone (0.0.0.0/0) says nothing: it covers everything. What is link-local
 * is a matter of each link.
 */
export function tunnelled({ addresses, peers }: Pick<TunnelConfig, 'addresses' | 'peers'>): Cidr[] {
  const allowed = new Covered(peers.flatMap(peer => peer.allowedIps))
  const subnets = addresses.filter(own => !isHost(own) && allowed.find(own.address, own.bits))
  const prefixes = [...peers.flatMap(peer => peer.trusted), ...subnets]
  return prefixes.filter(({ address }) => !isLinkLocal(address))
}

function isHost({ bits, family }: Cidr): boolean {
  return bits === (family === 4 ? 32 : 128)
}
