import { covers, parseCidr } from '../address.ts'
import { ownAddresses } from '../sockets/host-addresses.ts'
import { keyOf, type Route, type Wanted } from './plan.ts'

type Protocol = Wanted['protocol']

const loopback = parseCidr('127.0.0.0/8')!

/** Whose the connections and datagrams are that come to this end, by address and port: also while a listener is shut. */
export class Routes {
  #wanted: readonly Wanted[] = []
  #byKey = new Map<string, Route>()
  #ports = new Set<number>()

  set(wanted: readonly Wanted[]): void {
    this.#wanted = wanted
    this.#byKey = new Map(wanted.map(want => [keyOf(want), want.route]))
    this.#ports = new Set(wanted.map(({ port }) => port))
  }

  /** Connections have no way any more; datagrams of flows that go on have. */
  closeTcp(): void {
    this.set(this.#wanted.filter(({ protocol }) => protocol === 'udp'))
  }

  /** @param key of a listener. */
  of(key: string): Route | undefined {
    return this.#byKey.get(key)
  }

  /** Of a connection that arrives at this address of this host. */
  at(protocol: Protocol, address: string, port: number): Route | undefined {
    if (!this.#ports.has(port)) return undefined
    const hosts = [address, address.includes(':') ? '::' : '0.0.0.0', '::', '']
    return hosts
      .map(host => this.#byKey.get(keyOf({ protocol, host, port })))
      .find(route => route !== undefined)
  }

  /** Of a connection that this end makes; `undefined` when it leads elsewhere. */
  to(protocol: Protocol, address: string, port: number): Route | undefined {
    // The unspecified address leads to the loopback one: ip(7), ipv6(7).
    const arrives = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address
    return this.#ports.has(port) && this.#isOwn(arrives) ? this.at(protocol, arrives, port) : undefined
  }

  entries(): Iterable<[key: string, route: Route]> {
    return this.#byKey
  }

  #isOwn(address: string): boolean {
    return address === '::1' || covers(loopback, address) || ownAddresses().includes(address)
  }
}
