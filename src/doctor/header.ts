import { familyOf, parseHostPorts } from '../address.ts'
import type { TcpForwardStatus } from '../connection/status.ts'
import type { TargetStatus } from '../upstream/status.ts'
import { type Finding, failed, ok, unknown } from './finding.ts'
import type { HeaderVerdict } from './target.ts'

/** The PROXY header that a forward sends to a target: how long it may be, and what there is to say of the target's verdict. */

/** What of a forward decides over the headers that it sends. */
export interface HeaderSender
  extends Pick<
    TcpForwardStatus,
    'protocol' | 'name' | 'acceptProxy' | 'listeners' | 'sendProxy' | 'proxyHeaderLimit'
  > {
  readonly targets: readonly Pick<TargetStatus, 'routes'>[]
}

/** Bytes of a header of v2 with a UNIQUE_ID of 16 bytes, by family; and of a TLV without its value. */
const withId = { v4: 47, v6: 71 }
const prefix = 3

/**
 * Bytes of the longest header of v2 that the forward may send to the target. What other ends send with a header is passed
 * on; of clients that come without one, the server name is told where there are routes.
 */
export function longestHeader(
  { acceptProxy, listeners, targets, proxyHeaderLimit: limit }: HeaderSender,
  { routes = [] }: Pick<TargetStatus, 'routes'>,
): number {
  const isV4 = (listener: string) => familyOf(parseHostPorts(listener)?.host ?? '') === 4
  const bare = listeners.every(isV4) ? withId.v4 : withId.v6
  if (acceptProxy !== false) return limit
  if (targets.every(target => target.routes === undefined)) return Math.min(bare, limit)
  const isOpen = routes.length === 0 || routes.some(name => name.startsWith('*.'))
  return isOpen ? limit : Math.min(bare + prefix + Math.max(...routes.map(name => name.length)), limit)
}

/** What a verdict means for the forward. */
export function headerFinding(
  step: string,
  { name, sendProxy, proxyHeaderLimit }: HeaderSender,
  { address }: Pick<TargetStatus, 'address'>,
  verdict: HeaderVerdict,
  longest: number,
): Finding {
  const upTo = sendProxy === 'v2' ? `${sendProxy}, up to ${longest} bytes` : sendProxy
  switch (verdict) {
    case 'fits':
      return ok(step, `${address} takes a PROXY header (${upTo})`)
    case 'none':
      return ok(step, `${address} takes connections without a PROXY header`)
    case 'too-long':
      return failed(
        step,
        `${address} takes a short PROXY header (${sendProxy}), but not one of ${longest} bytes, which this forward may send: clients with a long server name, or with much in a header that was received, are lost`,
        `Set forwards.${name}.proxyHeaderLimit (${proxyHeaderLimit}) to what the target takes: docs/reverse-proxies.md has a table`,
      )
    case 'missing':
      return failed(
        step,
        `${address} closes connections without a PROXY header and takes those with one, and this forward sends none`,
        `Set forwards.${name}.sendProxy: v2 (or v1), or turn the header off at the target`,
      )
    case 'unexpected':
      return failed(
        step,
        `${address} does not expect the PROXY header that it is sent (${sendProxy}): it takes the header for a broken request`,
        `Turn it on at the target, for connections from this host (nginx: listen ... proxy_protocol; Traefik: entryPoints.NAME.proxyProtocol.trustedIPs; HAProxy: accept-proxy), or set forwards.${name}.sendProxy: false, which loses the client's address`,
      )
    case 'closes':
      return unknown(
        step,
        `${address} takes connections, and closes them without a word, with a PROXY header as without: whether it expects one${sendProxy === false ? '' : ` (${sendProxy})`}, or does not take this host's, cannot be told from here; its own log may`,
      )
    default:
      return unknown(
        step,
        `${address} takes connections, and does the same with a PROXY header and with what is none: whether it expects ${sendProxy === false ? 'none' : `one (${sendProxy})`} cannot be told from here`,
      )
  }
}
