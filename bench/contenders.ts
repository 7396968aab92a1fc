import { haproxy, rawTunnel } from './by-hand.ts'
import type { Contender } from './contender.ts'
import { ours } from './ours.ts'
import { chisel, frp, rathole } from './tunnels.ts'

/** `variables`: those of the environment that must name its programs. */
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
