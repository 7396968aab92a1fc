import { formatHostPort, type SocketAddress } from '../address.ts'
import type { ForwardConfig } from '../config/config.ts'
import { loopMark } from './loop-mark.ts'
import type { Target } from './target.ts'

/** A forward, as far as its ways are concerned. */
export interface Sender {
  readonly config: Pick<ForwardConfig, 'protocol' | 'listen'>
  readonly upstreams: { readonly targets: readonly Target[] }
}

/** Where a connection that this end makes to an address and port arrives, if it arrives at this end. */
interface Arrivals {
  to(
    protocol: ForwardConfig['protocol'],
    address: string,
    port: number,
  ): { readonly forward: Sender; readonly offset: number } | 'link' | undefined
}

/** Milliseconds that a front is remembered, and how many are. */
const remembered = 600_000
const mostFronts = 1000

const again = 'each connection would come in again, for ever'

/**
 * Whether a target leads back to the forward that would send to it, told from addresses, before anything is sent. A config
 * with a literal address like that is refused; a name may come to it at any time. The usual cause is a search list with
 * a wildcard: `web.dmz.svc.cluster.local` has fewer dots than `ndots:5`, so `web.dmz.svc.cluster.local.home.example` is
 * tried before it, and exists.
 */
export class WayBack {
  readonly #routes: Arrivals
  /** Targets where a client had come in, and when the last one did; the latest is the last. */
  readonly #fronts = new Map<string, number>()
  readonly #peerAt: (address: string) => string | undefined

  /** @param peerAt the peer whose endpoint is at an address, if one is: a word for it. */
  constructor(routes: Arrivals, peerAt: (address: string) => string | undefined) {
    this.#routes = routes
    this.#peerAt = peerAt
  }

  /**
   * Why it does, for people; `undefined` when it does not, as far as can be told.
   * @param told where the client had connected to, as a header says.
   */
  of(sender: Sender, target: Target, port: number, told?: SocketAddress): string | undefined {
    const { address } = target
    const why = this.#leadsTo(sender, address, port, new Set())
      ? 'where this forward itself listens'
      : sender.config.listen.host === 'tunnel'
        ? this.#leadsOut(address, port, told)
        : undefined
    if (why === undefined) return undefined
    const { name } = target
    const where = formatHostPort(address, port)
    return `${loopMark}${name === undefined ? where : `${name} is ${where}`}, ${why}: ${again}; ${fixOf(name)}`
  }

  /** To the other end, which sent the client. */
  #leadsOut(address: string, port: number, told: SocketAddress | undefined): string | undefined {
    if (this.#isFront(address, port, told)) return 'where the clients come in at the other end'
    const peer = this.#peerAt(address)
    return peer && `the endpoint of peer ${peer}, from which the clients come`
  }

  /** Checks tell no client, and are to say the same as the last one did. */
  #isFront(address: string, port: number, told: SocketAddress | undefined): boolean {
    const front = `${address} ${port}`
    if (told?.address !== address || told.port !== port)
      return (this.#fronts.get(front) ?? Number.NEGATIVE_INFINITY) > performance.now() - remembered
    this.#fronts.delete(front)
    this.#fronts.set(front, performance.now())
    if (this.#fronts.size > mostFronts) this.#fronts.delete(this.#fronts.keys().next().value!)
    return true
  }

  /** A forward with several targets leads to where all of them do. */
  #leadsTo(goal: Sender, address: string, port: number, seen: Set<Sender>): boolean {
    const route = this.#routes.to(goal.config.protocol, address, port)
    if (route === undefined || route === 'link') return false
    const { forward, offset } = route
    if (forward === goal) return true
    if (seen.has(forward)) return false
    seen.add(forward)
    const { targets } = forward.upstreams
    const leads = (next: Target) => this.#leadsTo(goal, next.address, next.port + offset, seen)
    return targets.length > 0 && targets.every(leads)
  }
}

function fixOf(name: string | undefined): string {
  if (name === undefined || name.endsWith('.')) return 'name where the service is'
  return `write the name with a dot at its end (${name}.), so that no search list applies, or set ndots:1 (dnsConfig of the chart)`
}
