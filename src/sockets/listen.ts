import type { Server } from 'node:net'
import { setImmediate as endOfTurn } from 'node:timers/promises'
import { formatHostPort } from '../address.ts'
import { EndError, messageOf, systemCode } from '../errors.ts'

/**
 * Connections that wait for `accept`. The kernel lowers it to net.core.somaxconn; Node's own default of 511 is soon
 * full when a page opens its connections at once.
 */
const backlog = 4096

/** Of so many one after the other, the last one waits for a turn of the event loop: a bind that succeeds waits for nothing. */
const inARow = 64
let bound = 0

/**
 * Binds `server`. An empty host is all addresses of both families, or of IPv4 where the kernel has no IPv6.
 * Rejects with `LISTEN_FAILED`, which names the address, the cause and the fix.
 */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    await bind(server, host === '' ? '::' : host, port)
    if (++bound % inARow === 0) await endOfTurn()
  } catch (error) {
    const code = systemCode(error)
    if (host === '' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL'))
      return listen(server, '0.0.0.0', port)
    throw listenFailed(host, port, error)
  }
}

/** `LISTEN_FAILED`, for whatever was to be bound. */
export function listenFailed(host: string, port: number, cause: unknown): EndError {
  const code = systemCode(cause) ?? ''
  const message = `cannot listen on ${formatHostPort(host, port)}: ${causes[code] ?? messageOf(cause)}`
  return new EndError('LISTEN_FAILED', message, { fix: fixes[code] ?? 'Change the listen address', cause })
}

const causes: Record<string, string> = {
  EADDRINUSE: 'the port is in use (EADDRINUSE)',
  EACCES: 'no right to a port below net.ipv4.ip_unprivileged_port_start (EACCES)',
  EADDRNOTAVAIL: 'no interface of this host has the address (EADDRNOTAVAIL)',
  EAFNOSUPPORT: 'the kernel has no IPv6 (EAFNOSUPPORT)',
}

const fixes: Record<string, string> = {
  EADDRINUSE:
    'Stop what listens there (`ss -lntup` shows it; often HAProxy or nginx), or choose another port',
  EACCES:
    'Add the capability NET_BIND_SERVICE, or set the sysctl net.ipv4.ip_unprivileged_port_start=0 for the container',
  EADDRNOTAVAIL:
    'Give an address of this host, or `:PORT` for all of them, or `tunnel:PORT` for those of the tunnel',
  EAFNOSUPPORT: 'Give an IPv4 address',
}

function bind(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error) => {
      server.off('error', settle)
      server.off('listening', settle)
      error instanceof Error ? reject(error) : resolve()
    }
    server.once('error', settle)
    server.once('listening', settle)
    server.listen({ host, port, backlog })
  })
}
