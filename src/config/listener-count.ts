import type { HostPorts } from '../address.ts'
import { mostListeners, raiseOpenFiles, usableOf } from '../sockets/descriptors.ts'
import type { TunnelConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import type { Issue } from './issue.ts'

/** An error at the first forward with which there are more listeners than this end may have; at most one. */
export function tooManyListeners(
  forwards: readonly { readonly name: string; readonly listen: HostPorts }[],
  tunnel: TunnelConfig | undefined,
  openFiles: number,
  document: ConfigDocument,
): Issue | undefined {
  // At least half is left for the connections that they take.
  const room = Math.floor(usableOf(openFiles) / 2)
  let count = 0
  for (const { name, listen } of forwards) {
    const own = new Set(tunnel?.addresses.map(({ address }) => address))
    const addresses = listen.host === 'tunnel' ? Math.max(1, own.size) : 1
    const listeners = addresses * (listen.last - listen.first + 1)
    count += listeners
    if (count <= Math.min(mostListeners, room)) continue
    const allowed =
      room < mostListeners
        ? `${room} with the ${openFiles} files that this process may hold open; ${raiseOpenFiles}, or list fewer ports`
        : `${mostListeners}; list the ports that are used, not all that there are`
    const before = count === listeners ? '' : `, with those before it ${count}`
    const message = `found ${listeners} listeners (ports × addresses)${before}; allowed: in all ${allowed}`
    return document.issue('error', ['forwards', name, 'listen'], message)
  }
  return undefined
}
