import { parseHostPorts } from '../address.ts'
import { found } from '../config/issue.ts'
import { usageError } from '../errors.ts'
import { mostListeners } from '../sockets/descriptors.ts'

/** Ports of one protocol, both included: the world's at the gateway, the tunnel's, and those of the target. */
export interface Forward {
  readonly name: string
  readonly protocol: 'tcp' | 'udp'
  readonly listen: Ports
  readonly target: Ports
}

interface Ports {
  readonly first: number
  readonly last: number
}

/** TCP ports of every end's own: health and metrics, and the connection to the other end. */
const ownPorts = [9586, 9587]

/**
 * @param texts what `--forward` was given.
 * @param wireGuard the gateway's own UDP port.
 * @throws EndError `USAGE`.
 */
export function parseForwards(texts: readonly string[], wireGuard: number): Forward[] {
  const forwards = texts.map(text => parseForward(text, wireGuard))
  refuseOverlaps(forwards)
  return forwards
}

function parseForward(text: string, wireGuard: number): Forward {
  const protocol = /\/udp$/i.test(text) ? 'udp' : 'tcp'
  const [from = '', to = from, ...more] = text.replace(/\/udp$/i, '').split(':')
  const [listen, target] = [parsePorts(from), parsePorts(to)]
  if (listen === undefined || target === undefined || more.length > 0)
    throw usageError(
      `--forward: ${found(text)}; allowed: PORT, PORT:TARGETPORT or a range FIRST-LAST, ports 1 to 65535, with /udp behind it for UDP`,
    )
  const ranges = listen.first !== listen.last || target.first !== target.last
  if (ranges && (listen.first !== target.first || listen.last !== target.last))
    throw usageError(`--forward: ${found(text)}; allowed: a range is forwarded to the same ports`)
  const own = protocol === 'udp' ? [wireGuard] : ownPorts
  if (own.some(port => listen.first <= port && port <= listen.last))
    throw usageError(
      protocol === 'udp'
        ? `--forward: ${found(text)}; allowed: any UDP port but ${wireGuard}, WireGuard's own; --endpoint HOST:PORT moves it`
        : `--forward: ${found(text)}; allowed: any port but ${own.join(' and ')}, the program's own`,
    )
  return { name: nameOf(protocol, listen), protocol, listen, target }
}

function parsePorts(text: string): Ports | undefined {
  const ports = parseHostPorts(`:${text}`)
  return ports && { first: ports.first, last: ports.last }
}

function nameOf(protocol: 'tcp' | 'udp', ports: Ports): string {
  const text = `${protocol}-${formatPorts(ports)}`
  return { 'tcp-80': 'http', 'tcp-443': 'https' }[text] ?? text
}

/** `443`, `8000-8010`. */
export function formatPorts({ first, last }: Ports): string {
  return first === last ? `${first}` : `${first}-${last}`
}

/** Those of TCP and those of UDP do not meet. */
function refuseOverlaps(forwards: readonly Forward[]): void {
  const sorted = forwards.toSorted(({ listen: a }, { listen: b }) => a.first - b.first || a.last - b.last)
  for (const protocol of ['tcp', 'udp']) {
    let before: Ports | undefined
    for (const { listen } of sorted.filter(forward => forward.protocol === protocol)) {
      if (before !== undefined && listen.first <= before.last)
        throw usageError(
          `--forward: found port ${listen.first} twice${protocol === 'udp' ? ' for UDP' : ''}, in ${formatPorts(before)} and ${formatPorts(listen)}; allowed: each port once`,
        )
      before = listen
    }
  }
}

/** The cluster's end listens on each of its addresses. */
export function refuseTooMany(forwards: readonly Forward[], addresses: number): void {
  const ports = forwards.reduce((sum, { listen }) => sum + listen.last - listen.first + 1, 0)
  if (ports * addresses > mostListeners)
    throw usageError(
      `--forward: found ${ports} ports; allowed: ${Math.floor(mostListeners / addresses)} in all; list the ports that are used`,
    )
}
