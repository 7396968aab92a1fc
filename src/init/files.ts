import { formatHostPort } from '../address.ts'
import { generatePresharedKey, generatePrivateKey, publicKeyOf } from '../config/keys.ts'
import { type Forward, formatPorts } from './forwards.ts'
import type { Pair } from './pair.ts'

/** The files of both ends: path below the pair's folder to content. Each call makes new keys. */
export function filesOf(pair: Pair): ReadonlyMap<string, string> {
  const keys = { gateway: generatePrivateKey(), cluster: pair.cluster.map(newKeys) }
  const clusterConfs = keys.cluster.map((_, ordinal) => clusterWgConf(pair, keys, ordinal))
  const files = new Map([
    ['gateway/config.yaml', gatewayConfig(pair)],
    ['gateway/wg0.conf', gatewayWgConf(pair, keys)],
    ['gateway/compose.yaml', compose],
    ['cluster/values.yaml', values(pair, clusterConfs)],
  ])
  if (!pair.inline) files.set('cluster/secret.yaml', secret(clusterConfs))
  return files
}

/** The private keys, and for each replica the one that it shares with the gateway. */
interface Keys {
  readonly gateway: string
  readonly cluster: readonly { readonly own: string; readonly shared: string }[]
}

function newKeys(): Keys['cluster'][number] {
  return { own: generatePrivateKey(), shared: generatePresharedKey() }
}

function gatewayConfig({ forwards, cluster }: Pair): string {
  return `# The gateway end: what the world reaches, and where it goes in the tunnel.
tunnel:
  wgConf: wg0.conf
forwards:
${forwards
  .map(({ name, protocol, listen }) => {
    const targets = cluster.map(([address]) => `"${hostPorts(address!, formatPorts(listen))}"`)
    return `  ${name}: { ${ofProtocol(protocol)}listen: ":${formatPorts(listen)}", target: ${targets.length > 1 ? `[${targets.join(', ')}]` : targets[0]} }\n`
  })
  .join('')}`
}

/** The key, where it is not the default. */
function ofProtocol(protocol: Forward['protocol']): string {
  return protocol === 'udp' ? 'protocol: udp, ' : ''
}

function gatewayWgConf({ gateway, cluster, endpoint }: Pair, keys: Keys): string {
  const peers = cluster.map(
    (addresses, ordinal) => `
# The cluster${cluster.length > 1 ? `, pod ${ordinal}` : ''}
[Peer]
PublicKey = ${publicKeyOf(keys.cluster[ordinal]!.own)}
PresharedKey = ${keys.cluster[ordinal]!.shared}
AllowedIPs = ${hostPrefixes(addresses)}
`,
  )
  return `# The gateway's side of the tunnel. Keep it secret.
[Interface]
Address = ${gateway.join(', ')}
PrivateKey = ${keys.gateway}
ListenPort = ${endpoint.port}
${peers.join('')}`
}

function clusterWgConf({ gateway, cluster, endpoint }: Pair, keys: Keys, ordinal: number): string {
  const { own, shared } = keys.cluster[ordinal]!
  return `# The cluster's side of the tunnel${cluster.length > 1 ? `, pod ${ordinal}` : ''}. Keep it secret.
[Interface]
Address = ${cluster[ordinal]!.join(', ')}
PrivateKey = ${own}

# The gateway
[Peer]
PublicKey = ${publicKeyOf(keys.gateway)}
PresharedKey = ${shared}
Endpoint = ${formatHostPort(endpoint.host, endpoint.port)}
AllowedIPs = ${hostPrefixes(gateway)}
# Keeps the way through the NAT open.
PersistentKeepalive = 25
`
}

const compose = `# The gateway end with docker compose instead of docker run. This folder must belong to root:
#   sudo docker compose --file gateway/compose.yaml up -d
services:
  wg-punchhole:
    image: wg-punchhole
    container_name: wg-punchhole
    restart: unless-stopped
    # The clients' own addresses, of both families; no ports to publish.
    network_mode: host
    cap_drop: [ALL]
    cap_add: [NET_ADMIN, NET_BIND_SERVICE]
    devices: [/dev/net/tun:/dev/net/tun]
    read_only: true
    security_opt: [no-new-privileges]
    # More than drainTimeout, in which connections may finish.
    stop_grace_period: 45s
    volumes:
      # Where the cluster was last seen.
      - wg-punchhole:/var/run/wireguard
      - .:/etc/wg-punchhole:ro

volumes:
  wg-punchhole:
    name: wg-punchhole
`

/** The name of the Secret, as in docs/cluster-helm.md. */
const secretName = 'wg'

function values({ forwards, target, inline }: Pair, wgConfs: readonly string[]): string {
  const replicas = wgConfs.length > 1 ? `replicas: ${wgConfs.length}\n` : ''
  return `# The cluster end: values of the Helm chart.
image:
  repository: registry.example.com/wg-punchhole # where you pushed the image
${replicas}tunnel:
${inline ? `  # Holds keys. Keep this file secret.\n${inlined(wgConfs)}` : `  existingSecret: ${secretName} # secret.yaml\n`}config:
${expectedOf(forwards, wgConfs.length > 1)}  forwards:
${forwards.map(forward => clusterForward(forward, target)).join('')}`
}

/** A line on what the targets get; each of UDP has one of its own. */
function expectedOf(forwards: readonly Forward[], several: boolean): string {
  const ofTcp = forwards.filter(({ protocol }) => protocol === 'tcp').length
  if (ofTcp === 0) return ''
  const targets = ofTcp < forwards.length ? 'The targets of TCP' : 'The targets'
  const senders = several ? "these pods' addresses" : "this pod's address"
  return `  # ${targets} must expect a PROXY protocol header, from ${senders}.\n`
}

/** What a receiver of datagrams takes is not known here, and a header that it does not expect would be its client's data. */
function clusterForward({ name, protocol, listen, target: ports }: Forward, target: string): string {
  const places = `listen: "tunnel:${formatPorts(listen)}", target: "${hostPorts(target, formatPorts(ports))}"`
  return protocol === 'udp'
    ? `    # Bare datagrams; which sendProxy tells this server the clients' addresses: docs/udp.md\n    ${name}: { protocol: udp, ${places}, sendProxy: false }\n`
    : `    ${name}: { ${places} }\n`
}

/** One file as text, several as a list by the pods' ordinals. */
function inlined(wgConfs: readonly string[]): string {
  if (wgConfs.length === 1) return `  wgConf: |\n${indent(wgConfs[0]!, 4)}`
  return `  wgConf:\n${wgConfs.map(wgConf => `    - |\n${indent(wgConf, 6)}`).join('')}`
}

/** A key of the Secret for each pod: the chart finds it by the pod's ordinal. */
function secret(wgConfs: readonly string[]): string {
  const keys = wgConfs.map((wgConf, ordinal) => {
    const name = wgConfs.length > 1 ? `wg0-${ordinal}.conf` : 'wg0.conf'
    return `  ${name}: |\n${indent(wgConf, 4)}`
  })
  return `# The keys of the cluster end. Keep this file secret.
apiVersion: v1
kind: Secret
metadata:
  name: ${secretName}
type: Opaque
stringData:
${keys.join('')}`
}

function indent(text: string, columns: number): string {
  return text.replace(/^(?=.)/gm, ' '.repeat(columns))
}

function hostPorts(host: string, ports: string): string {
  return host.includes(':') ? `[${host}]:${ports}` : `${host}:${ports}`
}

function hostPrefixes(addresses: readonly string[]): string {
  return addresses.map(address => `${address}/${address.includes(':') ? 128 : 32}`).join(', ')
}
