import type { WgConf, WgPeer } from './wg-conf.ts'
import type { Place, Report } from './wg-section.ts'

/** Each address is listened on, each peer probed, each of AllowedIPs a route: what a file of 1 MiB has room for is no tunnel. */
const most = { addresses: 64, peers: 1024, allowedIps: 4096 }

/** What of a wg-quick file is not too much; an error at the first of each kind that is. */
export function withinCounts(conf: WgConf, report: Report): WgConf {
  const say = (key: string, at: Place | undefined, count: number, allowed: number) => {
    if (at !== undefined) report('error', at, key, `found ${count}; allowed: ${allowed}; leave some out`)
  }
  say('Interface.Address', conf.addresses[most.addresses], conf.addresses.length, most.addresses)
  say('Peer', conf.peers[most.peers]?.publicKey, conf.peers.length, most.peers)
  const peers = conf.peers.slice(0, most.peers)
  const count = peers.reduce((sum, { allowedIps }) => sum + allowedIps.length, 0)
  let room = most.allowedIps
  let excess: Place | undefined
  const fitting = peers.map((peer): WgPeer => {
    const allowedIps = peer.allowedIps.slice(0, room)
    excess ??= peer.allowedIps[room]
    room -= allowedIps.length
    return { ...peer, allowedIps }
  })
  say('Peer.AllowedIPs', excess, count, most.allowedIps)
  return { ...conf, addresses: conf.addresses.slice(0, most.addresses), peers: fitting }
}
