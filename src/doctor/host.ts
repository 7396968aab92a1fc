import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { familyOf, formatHostPort, type HostPorts } from '../address.ts'
import type { Config, TunnelConfig } from '../config/config.ts'
import { EndError, messageOf, systemCode } from '../errors.ts'
import { UdpListener } from '../forward/udp-listener.ts'
import type { Log } from '../log/log.ts'
import { Names } from '../names/names.ts'
import { Descriptors } from '../sockets/descriptors.ts'
import { listen } from '../sockets/listen.ts'
import { findBinary } from '../tunnel/binary.ts'
import { checkRunFolder } from '../tunnel/bring-up.ts'
import { checkInterface, checkTun } from '../tunnel/device.ts'
import { ip } from '../tunnel/ip.ts'
import { type Finding, failed, findingOf } from './finding.ts'

/** What a start would need of this host. For when no end runs here: one that does has all of this. */
export async function hostFindings(config: Config, runFolder: string): Promise<Finding[]> {
  const { tunnel } = config
  return [
    ...(tunnel === undefined ? [] : await tunnelFindings(tunnel, runFolder)),
    ...(await listenerFindings(config)),
  ]
}

async function tunnelFindings(tunnel: TunnelConfig, runFolder: string): Promise<Finding[]> {
  const { interface: name, listenPort } = tunnel
  const port = listenPort ?? 0
  return [
    await findingOf('tunnel device', '/dev/net/tun can be opened', () => checkTun()),
    await findingOf('capability', 'NET_ADMIN is there', checkNetAdmin),
    await findingOf('run folder', `${runFolder} can be written`, () => checkRunFolder(runFolder)),
    await findingOf('wireguard-go', 'it is there', () => findBinary()),
    await findingOf('interface', `${name} is free, or ours`, () => checkInterface(ip, name)),
    await findingOf('UDP port', port === 0 ? 'any will do' : `${port} is free`, () => checkUdp(port)),
    ...(await Promise.all(tunnel.peers.map(peer => endpointFinding(peer.endpoint)))).flat(),
  ]
}

/** Bit of CAP_NET_ADMIN, capabilities(7). */
const netAdmin = 12n

async function checkNetAdmin(): Promise<void> {
  const status = await readFile('/proc/self/status', 'latin1')
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`)
  if ((effective >> netAdmin) & 1n) return
  throw new EndError(
    'DEVICE_UNAVAILABLE',
    'this process has no NET_ADMIN, so TUNSETIFF will fail with EPERM',
    {
      fix: 'Run as root with the capability NET_ADMIN (--cap-add NET_ADMIN; in Kubernetes securityContext.capabilities.add)',
    },
  )
}

async function checkUdp(port: number): Promise<void> {
  const socket = createSocket('udp4')
  try {
    socket.bind(port)
    await once(socket, 'listening')
  } catch (cause) {
    throw new EndError(
      'LISTEN_FAILED',
      `UDP port ${port} cannot be had: ${systemCode(cause) ?? messageOf(cause)}`,
      {
        fix: `Stop what has it (\`ss -lunp\` shows it; often wg-quick: systemctl stop wg-quick@wg0), or change ListenPort in wg0.conf and the port in the other end's Endpoint`,
        cause,
      },
    )
  } finally {
    socket.close()
  }
}

async function endpointFinding(endpoint: { host: string; port: number } | undefined): Promise<Finding[]> {
  if (endpoint === undefined || familyOf(endpoint.host) !== 0) return []
  const { host } = endpoint
  const finding = await findingOf(`endpoint ${host}`, 'the name has an address', () =>
    new Names().resolve(host),
  )
  return [finding.state === 'ok' ? finding : failed(finding.step, finding.found, nameFix(host))]
}

export function nameFix(host: string): string {
  return `Correct the name, or the name servers in /etc/resolv.conf (\`getent hosts ${host}\` asks the same ones)`
}

async function listenerFindings({ forwards, admin }: Config): Promise<Finding[]> {
  const wanted = [
    ...forwards.map(({ name, protocol, listen }) => ({ step: `listener of ${name}`, protocol, listen })),
    {
      step: 'admin listener',
      protocol: 'tcp' as const,
      listen: { host: admin.host, first: admin.port, last: admin.port },
    },
  ]
  const findings: Finding[] = []
  for (const { step, protocol, listen: where } of wanted) {
    // Those of the tunnel come with it.
    if (where.host === 'tunnel') continue
    const isUdp = protocol === 'udp'
    const fine = `${portsOf(where)}${isUdp ? '/udp' : ''} can be had`
    findings.push(await findingOf(step, fine, () => bindAll(where, isUdp ? bindUdp : bindTcp)))
  }
  return findings
}

async function bindAll(
  { host, first, last }: HostPorts,
  bind: (host: string, port: number) => Promise<void>,
): Promise<void> {
  for (let port = first; port <= last; port++) await bind(host, port)
}

async function bindTcp(host: string, port: number): Promise<void> {
  const server = createServer()
  try {
    await listen(server, host, port)
  } finally {
    server.close()
  }
}

/**
 * As a start does it: all addresses are one socket for each. A socket for all at once would not come to stand beside one
 * that another program has on an address of its own (systemd-resolved has 127.0.0.53:53).
 */
async function bindUdp(host: string, port: number): Promise<void> {
  const descriptors = new Descriptors(Number.POSITIVE_INFINITY)
  const listener = new UdpListener(host, port, () => {}, { log: nobody, descriptors })
  try {
    await listener.open()
  } finally {
    listener.close()
  }
}

const nobody: Log = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  isLevelEnabled: () => false,
}

function portsOf({ host, first, last }: HostPorts): string {
  return `${formatHostPort(host, first)}${first === last ? '' : `-${last}`}`
}

/** What to do where data for a peer's address would not leave through the tunnel. */
export function routeFix(address: string): string {
  return `See \`ip route get ${address}\` and \`ip rule\` on this host, and remove what leads elsewhere; with Table = off make the route yourself`
}
