import { haproxy, rawTunnel } from './by-hand.ts'
import type { Network } from './network.ts'
import { ours } from './ours.ts'
import { chisel, frp, rathole } from './tunnels.ts'
import type { Variant } from './variant.ts'

/** What is measured: something that carries clients of 192.0.2.1:80 to the backend. */
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
  /** Where the client finds the backend's files. */
  readonly url: string
  /** Where the gateway, in its own namespace, says that it is alive. */
  readonly livez?: string
  readonly gateway: End
  readonly pod: End
}

/** `variable`: those of the environment that must name its programs. */
export const contenders: Readonly<Record<string, { contender: Contender; variables: readonly string[] }>> = {
  tunnel: { contender: rawTunnel, variables: [] },
  haproxy: { contender: haproxy(() => 'haproxy'), variables: [] },
  // A newer one beside it: scripts/haproxy-trixie.sh.
  'haproxy-trixie': { contender: haproxy(() => process.env.HAPROXY_TRIXIE!), variables: ['HAPROXY_TRIXIE'] },
  ours: { contender: ours({ link: true }), variables: [] },
  'ours-plain': { contender: ours({ link: false }), variables: [] },
  frp: { contender: frp, variables: ['FRPS', 'FRPC'] },
  rathole: { contender: rathole, variables: ['RATHOLE'] },
  chisel: { contender: chisel, variables: ['CHISEL'] },
}

/** All others are compared with it. */
export const reference = 'haproxy'
