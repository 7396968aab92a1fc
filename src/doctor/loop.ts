import { parseHostPorts } from '../address.ts'
import { type Dated, type EndStatus, shortKey } from '../admin/status.ts'
import type { ForwardStatus } from '../connection/status.ts'
import { loopMark } from '../upstream/loop-mark.ts'
import { type Finding, failed } from './finding.ts'

/** Targets that send connections back to where they come from. */

/** The peer whose endpoint is at one of a target's addresses, while peers send this forward their clients. */
export function loopFinding(
  step: string,
  target: string,
  addresses: readonly string[],
  { listeners }: Pick<Dated<ForwardStatus>, 'listeners'>,
  tunnel: EndStatus['tunnel'],
): Finding | undefined {
  const own = (tunnel?.addresses ?? []).map(address => address.replace(/\/\d+$/, ''))
  if (!listeners.some(listener => own.includes(parseHostPorts(listener)?.host ?? ''))) return undefined
  const peer = tunnel?.peers.find(
    ({ configuredEndpoint, endpoint = '' }) =>
      configuredEndpoint !== undefined && addresses.includes(parseHostPorts(endpoint)?.host ?? ''),
  )
  if (peer === undefined) return undefined
  return failed(
    step,
    `${target} is at the endpoint of peer ${shortKey(peer.publicKey)}, from which this forward has its clients: each would come in again, for ever`,
    'Name where the service is, with a dot at the end of the name where there is none, so that no search list applies',
  )
}

/** A target's error in two parts where it tells of a loop, since it says itself what to do. */
export function loopError(error: string): { readonly found: string; readonly fix: string } | undefined {
  if (!error.startsWith(loopMark)) return undefined
  const [found = '', fix = 'name where the service is, with a dot at its end'] = error.split('; ')
  return { found, fix: fix.charAt(0).toUpperCase() + fix.slice(1) }
}
