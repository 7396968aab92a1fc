import type { Network } from './network.ts'
import type { Variant } from './variant.ts'

/** What is measured: something that carries clients of the gateway to the backend. */
export interface Contender {
  /** Starts both ends; they need not be ready. */
  start(network: Network, setting: Setting): Promise<Started>
}

export interface Setting {
  readonly variant: Variant
  /** Of TCP through the tunnel, where the contender has a say in it. */
  readonly congestionControl: string
  /** A folder for V8's CPU profiles of our ends. */
  readonly cpuProfile: string | undefined
  /** Whether it is to carry datagrams, too. */
  readonly udp: boolean
}

/** The processes of one end, by their ids. */
export interface End {
  /** What accepts and forwards connections; of the raw tunnel there is none. */
  readonly program: number | undefined
  /** The wireguard-go of this end, where there is one. */
  readonly tunnel: number | undefined
  /** Milliseconds from its start until it says that it runs, where it says so. */
  readonly startTime?: number
}

export interface Started {
  /** Where the client finds the backend's files; nowhere with one that carries datagrams only. */
  readonly url: string | undefined
  /** Where the client finds the echo server, ADDRESS:PORT, if it carries datagrams. */
  readonly udp: string
  /** The same with a bound on new flows, where there is one. */
  readonly udpLimited?: string
  /** Where the gateway, in its own namespace, says that it is alive. */
  readonly livez?: string
  readonly gateway: End
  readonly pod: End
}

/** A running contender and what it is asked to do. */
export interface Trial {
  readonly network: Network
  readonly started: Started
  readonly seconds: number
  readonly idle: number
  /** Holds the backend's files. */
  readonly folder: string
}
