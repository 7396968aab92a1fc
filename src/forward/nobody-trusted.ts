import type { ForwardConfig } from '../config/config.ts'
import type { Reason } from '../reason.ts'

/** Of a forward that refuses every connection through the tunnel, because nobody there may send the header it requires. */
export function nobodyTrusted({ name, listen, acceptProxy, trustedProxies }: ForwardConfig): Reason[] {
  if (listen.host !== 'tunnel' || acceptProxy === false || trustedProxies.length > 0) return []
  const detail =
    `forward ${name} requires a PROXY header, and nobody is trusted to send one: the peers' AllowedIPs are missing, or ` +
    "too wide to tell where the peers are; name each peer's own tunnel address (tunnel.probe.addresses: {PUBLICKEY: IP}), " +
    `or set forwards.${name}.trustedProxies`
  return [{ code: 'nobody-trusted', detail, forward: name }]
}
