import { dirname, resolve } from 'node:path'
import { covers, isLinkLocal } from '../address.ts'
import { resolvePeers } from './allowed-ips.ts'
import type { TunnelConfig } from './config.ts'
import type { ConfigDocument } from './document.ts'
import { type FileText, worldReadable } from './file.ts'
import { foreignFile } from './foreign.ts'
import type { Host } from './host.ts'
import { listed, type Severity } from './issue.ts'
import type { Issues } from './issues.ts'
import { isKey, publicKeyOf } from './keys.ts'
import { ownAddresses } from './own-addresses.ts'
import type { TunnelSection } from './schema.ts'
import { parseWgConf, type WgConf } from './wg-conf.ts'
import { withinCounts } from './wg-count.ts'
import type { Report } from './wg-section.ts'

/** What a tunnel is put together from: the section of the config file, the wg-quick file and the key files. */
export interface TunnelSource {
  readonly configFile: string
  readonly document: ConfigDocument
  readonly section: TunnelSection
  /** The flag's path, relative to the working folder. */
  readonly wgConf: string | undefined
  /** Whether `wgConf`, or the section as a whole, is there and is none. */
  readonly isRefused: boolean
  readonly host: Host
  readonly read: (path: string) => Promise<FileText>
}

/** `undefined` where an error left nothing to go by; with any error the tunnel is not to be used, only compared to. */
export async function resolveTunnel(source: TunnelSource, issues: Issues): Promise<TunnelConfig | undefined> {
  const { section, host } = source
  const file = await readWgConf(source, issues)
  if (file === undefined) return undefined
  const report: Report = (severity, { line, column }, key, message) =>
    issues.add({ severity, file: file.path, line, column, ...(key !== undefined && { key }), message })
  const conf = withinCounts(await withKeyFiles(file.conf, source, issues), report)
  const mtu = section.mtu ?? conf.mtu?.value ?? 1420
  checkMtu(mtu, conf, source, report, issues)
  if (!host.ipv6) reportNoIPv6(conf, report)
  const publicKey = checkPrivateKey(conf, source, report)
  return {
    interface: section.interface,
    stateDir: inConfigFolder(source, section.stateDir),
    mtu,
    congestionControl: section.congestionControl,
    privateKey: conf.privateKey ?? '',
    publicKey,
    listenPort: conf.listenPort,
    fwMark: conf.fwMark,
    table: conf.table,
    ...ownAddresses(
      conf.addresses.filter(({ value }) => value.family === 4 || host.ipv6),
      report,
    ),
    probe: section.probe && {
      port: section.probe.port,
      interval: section.probe.interval,
      timeout: section.probe.timeout,
    },
    peers: resolvePeers(conf, { named: namedPeers(source, conf, issues), host, report }),
  }
}

async function readWgConf(
  source: TunnelSource,
  issues: Issues,
): Promise<{ path: string; conf: WgConf } | undefined> {
  const { section, document, wgConf: flag } = source
  const inFile = section.wgConf === undefined ? undefined : inConfigFolder(source, section.wgConf)
  const path = flag ?? inFile
  // With the key there and refused, its own error says enough.
  if (path === undefined) {
    if (!source.isRefused)
      issues.add(
        document.issue('error', ['tunnel', 'wgConf'], 'missing; name the wg-quick file: wgConf: wg0.conf'),
      )
    return undefined
  }
  const read = await source.read(path)
  if (read.reason !== undefined) {
    issues.add(
      flag === undefined
        ? document.issue('error', ['tunnel', 'wgConf'], read.reason)
        : { severity: 'error', file: '--wg-conf', line: 0, column: 0, message: read.reason },
    )
    return undefined
  }
  const foreign = foreignFile('wg-quick', read.text)
  if (foreign !== undefined) {
    const { line, message } = foreign
    issues.add({ severity: 'error', file: path, line, column: Math.min(line, 1), message })
    return undefined
  }
  const parsed = parseWgConf(path, read.text)
  issues.addAll(parsed)
  const secret = parsed.conf.privateKey ?? parsed.conf.peers.find(peer => peer.presharedKey !== undefined)
  if (read.worldReadable && secret !== undefined)
    issues.add({ severity: 'warning', file: path, line: 0, column: 0, message: worldReadable(path) })
  return { path, conf: parsed.conf }
}

async function withKeyFiles(conf: WgConf, source: TunnelSource, issues: Issues): Promise<WgConf> {
  const privateKey = (await readKey('privateKeyFile', source, issues)) ?? conf.privateKey
  const presharedKey = await readKey('presharedKeyFile', source, issues)
  if (presharedKey === undefined) return { ...conf, privateKey }
  if (conf.peers.length !== 1) {
    const message = `found ${conf.peers.length} peers; allowed with exactly one; write each PresharedKey into its [Peer]`
    issues.add(source.document.issue('error', ['tunnel', 'presharedKeyFile'], message))
  }
  return { ...conf, privateKey, peers: conf.peers.map(peer => ({ ...peer, presharedKey })) }
}

async function readKey(
  name: 'privateKeyFile' | 'presharedKeyFile',
  source: TunnelSource,
  issues: Issues,
): Promise<string | undefined> {
  const written = source.section[name]
  if (written === undefined) return undefined
  const report = (severity: Severity, message: string) =>
    issues.add(source.document.issue(severity, ['tunnel', name], message))
  if (isKey(written)) {
    report(
      'error',
      'found a key; allowed: the path of a file with the key in it; replace the key, it was readable here',
    )
    return undefined
  }
  const path = inConfigFolder(source, written)
  const read = await source.read(path)
  if (read.reason !== undefined) {
    report('error', read.reason)
    return undefined
  }
  if (read.worldReadable) report('warning', worldReadable(path))
  const key = read.text.trim()
  if (isKey(key)) return key
  report(
    'error',
    `${path} holds something that is no key; allowed: one line of 44 characters of base64, as wg genkey writes it`,
  )
  return undefined
}

/** The peers' addresses that `tunnel.probe.addresses` names, those that cannot be left out. */
function namedPeers({ section, document }: TunnelSource, conf: WgConf, issues: Issues): Map<string, string> {
  const named = new Map<string, string>()
  const peers = new Map(conf.peers.map(peer => [peer.publicKey.value, peer]))
  for (const [key, address] of Object.entries(section.probe === false ? {} : section.probe.addresses)) {
    const path = ['tunnel', 'probe', 'addresses', key]
    const peer = peers.get(key)
    const prefixes = peer?.allowedIps.map(({ value }) => value) ?? []
    if (peer === undefined) {
      const keys = listed([...peers.keys()])
      issues.add(
        document.issue('error', path, `found no peer with this key; allowed: ${keys || 'none'}`, 'key'),
      )
    } else if (isLinkLocal(address))
      issues.add(
        document.issue(
          'error',
          path,
          `found the link-local address ${address}, which nothing can connect to without a zone; allowed: another address inside the peer's AllowedIPs`,
        ),
      )
    else if (prefixes.some(prefix => covers(prefix, address))) named.set(key, address)
    else {
      const allowed = listed(prefixes.map(({ address, bits }) => `${address}/${bits}`))
      issues.add(
        document.issue(
          'error',
          path,
          `found ${address}; allowed: an address inside the peer's AllowedIPs ${allowed}`,
        ),
      )
    }
  }
  return named
}

function checkMtu(
  mtu: number,
  conf: WgConf,
  { section, document }: TunnelSource,
  report: Report,
  issues: Issues,
): void {
  const ipv6 = conf.addresses.find(({ value }) => value.family === 6)
  if (ipv6 === undefined || mtu >= 1280) return
  const message = `found ${mtu}; allowed with the IPv6 Address ${ipv6.value.address}: 1280 and more; raise it or remove that Address`
  if (section.mtu === undefined) report('error', conf.mtu!, 'Interface.MTU', message)
  else issues.add(document.issue('error', ['tunnel', 'mtu'], message))
}

function reportNoIPv6(conf: WgConf, report: Report): void {
  const addresses = conf.addresses.filter(({ value }) => value.family === 6)
  const message = 'found IPv6, which this kernel has none of: it is left out; enable IPv6 or remove it'
  if (addresses[0] !== undefined) report('warning', addresses[0], 'Interface.Address', message)
  const prefix = conf.peers.flatMap(peer => peer.allowedIps).find(({ value }) => value.family === 6)
  if (prefix !== undefined) report('warning', prefix, 'Peer.AllowedIPs', message)
  if (addresses.length > 0 && addresses.length === conf.addresses.length)
    report(
      'error',
      addresses[0]!,
      'Interface.Address',
      'found no address that this kernel can have; add an IPv4 Address',
    )
}

/** The public key, empty when there is no private one. */
function checkPrivateKey(conf: WgConf, { section }: TunnelSource, report: Report): string {
  if (conf.privateKey === undefined) {
    if (section.privateKeyFile === undefined && !conf.namesPrivateKey)
      report(
        'error',
        { line: 0, column: 0 },
        'Interface.PrivateKey',
        'missing; write it into the file, or name a file that holds it in tunnel.privateKeyFile',
      )
    return ''
  }
  const publicKey = publicKeyOf(conf.privateKey)
  const own = conf.peers.find(peer => peer.publicKey.value === publicKey)
  if (own !== undefined)
    report('error', own.publicKey, 'Peer.PublicKey', "found this end's own public key; write the other end's")
  return publicKey
}

function inConfigFolder({ configFile }: TunnelSource, path: string): string {
  return resolve(dirname(configFile), path)
}
