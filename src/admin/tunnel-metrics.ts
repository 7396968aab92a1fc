import { rungs } from '../tunnel/ladder.ts'
import { losable } from '../tunnel/loss.ts'
import { type Metric, perPeer, sample, single } from './metric.ts'
import { shortKey } from './status.ts'

/** Those of the tunnel: its process, its device and its peers. Without a tunnel none has a sample. */
export const tunnelMetrics: readonly Metric[] = [
  {
    name: 'wg_punchhole_tunnel_process_up',
    kind: 'gauge',
    help: '1 while wireguard-go runs.',
    labels: [],
    read: single(({ status }) => status.tunnel && (status.tunnel.process.state === 'running' ? 1 : 0)),
  },
  {
    name: 'wg_punchhole_tunnel_process_restarts_total',
    kind: 'counter',
    help: 'Starts of wireguard-go after the first one.',
    labels: [],
    read: single(({ status }) => status.tunnel?.process.restarts),
  },
  {
    name: 'wg_punchhole_tunnel_process_resident_memory_bytes',
    kind: 'gauge',
    help: 'Resident memory of wireguard-go.',
    labels: [],
    read: single(scrape => scrape.tunnelResidentBytes),
  },
  {
    name: 'wg_punchhole_tunnel_mtu_bytes',
    kind: 'gauge',
    help: 'MTU of the tunnel.',
    labels: [],
    read: single(({ status }) => status.tunnel?.mtu),
  },
  {
    name: 'wg_punchhole_tunnel_put_back_total',
    kind: 'counter',
    help: 'What another program took away from the tunnel and was put back, by what: device, link (set down), mtu, address or route.',
    labels: ['what'],
    read: ({ status: { tunnel } }) => losable.flatMap(what => sample(tunnel?.device.putBack[what], { what })),
  },
  {
    name: 'wg_punchhole_peer_last_handshake_timestamp_seconds',
    kind: 'gauge',
    help: 'When the last handshake with the peer was completed, in seconds since the epoch; absent before the first.',
    labels: ['peer'],
    read: perPeer(({ lastHandshake: at }) => (at === undefined ? undefined : Date.parse(at) / 1000)),
  },
  {
    name: 'wg_punchhole_peer_received_bytes_total',
    kind: 'counter',
    help: 'Bytes received from the peer, as wireguard-go counts them; starts over with it.',
    labels: ['peer'],
    read: perPeer(peer => peer.receivedBytes),
  },
  {
    name: 'wg_punchhole_peer_sent_bytes_total',
    kind: 'counter',
    help: 'Bytes sent to the peer, as wireguard-go counts them; starts over with it.',
    labels: ['peer'],
    read: perPeer(peer => peer.sentBytes),
  },
  {
    name: 'wg_punchhole_peer_path_up',
    kind: 'gauge',
    help: '1 while data crosses the tunnel to the peer and back, full-size packets or not.',
    labels: ['peer'],
    read: perPeer(({ path }) => (path.state === 'up' || path.state === 'mtu-black-hole' ? 1 : 0)),
  },
  {
    name: 'wg_punchhole_peer_probe_rtt_seconds',
    kind: 'gauge',
    help: 'Smoothed round-trip time of the path probes, and of link pings in their place; absent for a peer that answered none lately.',
    labels: ['peer'],
    read: perPeer(({ path }) => path.rtt && path.rtt / 1000),
  },
  {
    name: 'wg_punchhole_peer_probe_loss_ratio',
    kind: 'gauge',
    help: 'Smoothed share of the path probes that go unanswered, 0 to 1; absent for a peer that never answered one.',
    labels: ['peer'],
    read: perPeer(({ path }) => path.loss),
  },
  {
    name: 'wg_punchhole_peer_path_deaths_total',
    kind: 'counter',
    help: 'How often the path to the peer was found dead.',
    labels: ['peer'],
    read: perPeer(({ path }) => path.deaths),
  },
  {
    name: 'wg_punchhole_peer_recovery_steps_total',
    kind: 'counter',
    help: 'Steps taken to bring the path to the peer back, by step: recreate, resolve, port or restart.',
    labels: ['peer', 'rung'],
    read: ({ status: { tunnel } }) =>
      tunnel?.peers.flatMap(({ publicKey, path }) =>
        rungs.flatMap(rung => sample(path.rungs[rung], { peer: shortKey(publicKey), rung })),
      ) ?? [],
  },
]
