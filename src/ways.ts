import type { Socket } from 'node:net'

/**
 * How data for an address leaves this host. What is meant for the tunnel goes through its device or nowhere: whoever
 * connects asks before, and once more when the connection is there. Both are look-ups in memory; for a connection through
 * the tunnel one system call more tells its source.
 */
export interface Ways {
  /** Why nothing may be sent to this address now; `undefined` where it may. Canonical, as in a route look-up's answer. */
  shut(address: string): string | undefined
  /** Why this connection to the address is not to be used; `undefined` where it is. */
  astray(address: string, connection: Pick<Socket, 'localAddress'>): string | undefined
  /** Why a client that came from this address is not to be answered. It may be one that was never heard of before. */
  heard(address: string): string | undefined
}

/** Those of an end without a tunnel. */
export const allOpen: Ways = { shut: () => undefined, astray: () => undefined, heard: () => undefined }
