import { formatHostPort } from '../config/address.ts'
import { generatePresharedKey, generatePrivateKey, publicKeyOf } from '../config/keys.ts'
import { formatPorts, type Pair } from './pair.ts'

/** The files of both ends: path below the pair's folder to content. Each call makes new keys. */
export function filesOf(pair: Pair): ReadonlyMap<string, string> {
  const keys = {
    gateway: generatePrivateKey(),
    cluster: generatePrivateKey(),
    shared: generatePresharedKey(),
  }
  const clusterConf = clusterWgConf(pair, keys)
  const files = new Map([
    ['gateway/config.yaml', gatewayConfig(pair)],
    ['gateway/wg0.conf', gatewayWgConf(pair, keys)],
    ['gateway/compose.yaml', compose],
    ['cluster/values.yaml', values(pair, clusterConf)],
  ])
  if (!pair.inline) files.set('cluster/secret.yaml', secret(clusterConf))
  return files
}

/** Private keys of the two ends, and the key that they share. */
interface Keys {
  readonly gateway: string
  readonly cluster: string
  readonly shared: string
}

function gatewayConfig({ forwards, cluster }: Pair): string {
  return `# The gateway end: what the world reaches, and where it goes in the tunnel.
tunnel:
  wgConf: wg0.conf
forwards:
${forwards
  .map(({ name, listen }) => {
    const ports = formatPorts(listen)
    return `  ${name}: { listen: ":${ports}", target: "${hostPorts(cluster[0]!, ports)}" }\n`
  })
  .join('')}`
}

function gatewayWgConf({ gateway, cluster, endpoint }: Pair, keys: Keys): string {
  return `# The gateway's side of the tunnel. Keep it secret.
[Interface]
Address = ${gateway.join(', ')}
PrivateKey = ${keys.gateway}
ListenPort = ${endpoint.port}

# The cluster
[Peer]
PublicKey = ${publicKeyOf(keys.cluster)}
PresharedKey = ${keys.shared}
AllowedIPs = ${hostPrefixes(cluster)}
`
}

function clusterWgConf({ gateway, cluster, endpoint }: Pair, keys: Keys): string {
  return `# The cluster's side of the tunnel. Keep it secret.
[Interface]
Address = ${cluster.join(', ')}
PrivateKey = ${keys.cluster}

# The gateway
[Peer]
PublicKey = ${publicKeyOf(keys.gateway)}
PresharedKey = ${keys.shared}
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

function values({ forwards, target, inline }: Pair, wgConf: string): string {
  return `# The cluster end: values of the Helm chart.
image:
  repository: registry.example.com/wg-punchhole # where you pushed the image
tunnel:
${inline ? `  # Holds keys. Keep this file secret.\n  wgConf: |\n${indent(wgConf, 4)}` : `  existingSecret: ${secretName} # secret.yaml\n`}config:
  # The targets must expect a PROXY protocol header, from this pod's address.
  forwards:
${forwards
  .map(
    ({ name, listen, target: ports }) =>
      `    ${name}: { listen: "tunnel:${formatPorts(listen)}", target: "${hostPorts(target, formatPorts(ports))}" }\n`,
  )
  .join('')}`
}

function secret(wgConf: string): string {
  return `# The keys of the cluster end. Keep this file secret.
apiVersion: v1
kind: Secret
metadata:
  name: ${secretName}
type: Opaque
stringData:
  wg0.conf: |
${indent(wgConf, 4)}`
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
