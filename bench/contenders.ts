import { haproxy, rawTunnel, socat } from './by-hand.ts'
import type { Contender } from './contender.ts'
import { ours } from './ours.ts'
import { chisel, frp, rathole } from './tunnels.ts'

export type Protocol = 'tcp' | 'udp'

interface Known {
  readonly contender: Contender
  readonly protocols: readonly Protocol[]
  /** Those of the environment that must name its programs. */
  readonly variables: readonly string[]
}

const tcp = { protocols: ['tcp'], variables: [] } as const
const both = { protocols: ['tcp', 'udp'], variables: [] } as const

export const contenders: Readonly<Record<string, Known>> = {
  tunnel: { ...both, contender: rawTunnel },
  haproxy: { ...tcp, contender: haproxy(() => 'haproxy') },
  // A newer one beside it: scripts/haproxy-trixie.sh.
  'haproxy-trixie': {
    ...tcp,
    contender: haproxy(() => process.env.HAPROXY_TRIXIE!),
    variables: ['HAPROXY_TRIXIE'],
  },
  ours: { ...both, contender: ours({ link: true }) },
  'ours-plain': { ...both, contender: ours({ link: false }) },
  frp: { ...both, contender: frp, variables: ['FRPS', 'FRPC'] },
  rathole: { ...tcp, contender: rathole, variables: ['RATHOLE'] },
  chisel: { ...tcp, contender: chisel, variables: ['CHISEL'] },
  socat: { contender: socat, protocols: ['udp'], variables: [] },
}
