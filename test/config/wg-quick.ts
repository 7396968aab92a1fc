import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { canonical, familyOf, networkOf, parseCidr } from '../../src/address.ts'
import { readText } from '../../src/config/file.ts'
import { formatIssue } from '../../src/config/issue.ts'
import { loadConfig } from '../../src/config/load.ts'
import { quietHost } from '../fixtures/config.ts'
import { type Host, Lab } from '../lab/lab.ts'
import type { WgFile } from './wg-quick-files.ts'

/**
 * Judges files by the real wg-quick: each is brought up in a network namespace and taken down again. Either both take
 * it and the tunnel there is as the config here says, or both refuse it, or the file says why they differ.
 */

const wireguardGo = join(import.meta.dirname, '../../native/bin/wireguard-go')

/** What a file makes of a tunnel, as far as both can tell. */
interface Tunnel {
  readonly addresses: readonly string[]
  readonly mtu: number
  readonly fwMark: number
  readonly listenPort: number
  readonly peers: readonly string[]
  /** Those that have a route into the tunnel. */
  readonly tables: readonly string[]
}

export async function compare(t: Test, files: readonly WgFile[]): Promise<void> {
  await using lab = await Lab.create(`wq${process.pid}`)
  const hosts = [await lab.host('a'), await lab.host('b')]
  const next = files.values()
  let number = 0
  await Promise.all(
    hosts.map(async host => {
      for (const file of next)
        await compareOne(t, host, join(lab.folder, `wq${process.pid}n${number++}.conf`), file)
    }),
  )
}

async function compareOne(t: Test, host: Host, path: string, file: WgFile): Promise<void> {
  writeFileSync(path, file.text, { mode: 0o600 })
  const here = await readHere(path)
  const there = await readThere(host, path, here.tunnel)
  rmSync(path)
  const refusals = `wg-quick: ${there.refusal ?? 'takes it'}; here: ${here.refusal ?? 'taken'}`
  const agree = (there.tunnel === undefined) === (here.tunnel === undefined)
  if (file.differs !== undefined) t.notOk(agree, `${file.name} is no difference any more; ${refusals}`)
  else if (!agree) t.fail(`${file.name}: ${refusals}`)
  else if (there.tunnel === undefined) t.pass(`${file.name} is refused`)
  else t.same(here.tunnel, there.tunnel, `${file.name} is taken`)
}

interface Outcome {
  readonly tunnel?: Tunnel
  readonly refusal?: string
}

async function readHere(path: string): Promise<Outcome> {
  const options = { configFile: 'config.yaml', wgConf: path }
  const { config, issues } = await loadConfig(options, quietHost, async name =>
    name === path ? readText(name) : { text: 'forwards: {}', worldReadable: false },
  )
  const tunnel = config?.tunnel
  if (tunnel === undefined) return { refusal: issues.map(formatIssue).join('; ') }
  const hasRoutes = tunnel.table !== 'off' && tunnel.peers.some(({ allowedIps }) => allowedIps.length > 0)
  return {
    tunnel: {
      addresses: tunnel.addresses.map(({ address, bits }) => `${address}/${bits}`).sort(),
      mtu: tunnel.mtu,
      fwMark: tunnel.fwMark ?? 0,
      listenPort: tunnel.listenPort ?? 0,
      peers: tunnel.peers
        .map(({ publicKey, presharedKey, endpoint, allowedIps, keepalive }) =>
          [
            publicKey,
            presharedKey ?? '(none)',
            endpoint === undefined ? '(none)' : `${addressOf(endpoint.host)} ${endpoint.port}`,
            [...new Set(allowedIps.map(networkOf))].sort(),
            keepalive === 0 ? 'off' : keepalive,
          ].join(' '),
        )
        .sort(),
      tables: typeof tunnel.table === 'number' && hasRoutes ? [`${tunnel.table}`] : [],
    },
  }
}

/** @param here what this program makes of it: where that leaves something open, so does the answer. */
async function readThere(host: Host, path: string, here: Tunnel | undefined): Promise<Outcome> {
  const name = path.split('/').at(-1)!.replace('.conf', '')
  const wgQuick = (command: string) =>
    host.exec(
      'env',
      `WG_QUICK_USERSPACE_IMPLEMENTATION=${wireguardGo}`,
      'WG_ENDPOINT_RESOLUTION_RETRIES=0',
      'wg-quick',
      command,
      path,
    )
  try {
    await wgQuick('up')
  } catch (error) {
    const { stderr } = error as { stderr: string }
    return { refusal: stderr.split('\n').filter(isReason).join(' / ') }
  }
  try {
    const [device = '', ...peers] = (await host.exec('wg', 'show', name, 'dump')).trim().split('\n')
    const [, , port, mark = ''] = device.split('\t')
    const [link] = JSON.parse(await host.exec('ip', '-j', 'address', 'show', 'dev', name))
    const routesByDefault = peers.some(line => line.includes('/0'))
    return {
      tunnel: {
        addresses: link.addr_info
          .filter((info: { protocol?: string; scope: string }) => info.scope !== 'link')
          .map(
            (info: { local: string; prefixlen: number }) =>
              `${parseCidr(info.local)!.address}/${info.prefixlen}`,
          )
          .sort(),
        mtu: here?.mtu === 1420 ? 1420 : link.mtu,
        // For a route to everywhere wg-quick sets a mark of its own.
        fwMark: routesByDefault || mark === 'off' ? 0 : Number(mark),
        listenPort: here?.listenPort === 0 ? 0 : Number(port),
        peers: peers.map(peerOf).sort(),
        tables: await tablesOf(host, name, here?.tables ?? []),
      },
    }
  } finally {
    await wgQuick('down')
  }
}

function isReason(line: string): boolean {
  return line !== '' && !/^(\[[#!]\]|[┌│└]|Error: Unknown device type|Configuration parsing error)/.test(line)
}

function peerOf(line: string): string {
  const [publicKey, presharedKey, endpoint = '', allowed = '', , , , keepalive] = line.split('\t')
  const [, host, port] = /^\[?(.+?)\]?:(\d+)$/.exec(endpoint) ?? []
  const prefixes = allowed === '(none)' ? [] : allowed.split(',').map(text => networkOf(parseCidr(text)!))
  const at = host === undefined ? '(none)' : `${addressOf(host)} ${port}`
  return [publicKey, presharedKey, at, prefixes.sort(), keepalive].join(' ')
}

/** One spelling for each address; the one name that every host has is resolved. */
function addressOf(host: string): string {
  if (host.toLowerCase() === 'localhost') return '127.0.0.1'
  return familyOf(host) === 0 ? host : canonical(host)
}

/** Those of these tables that have a route into the tunnel. */
async function tablesOf(host: Host, name: string, tables: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const table of tables)
    if ((await host.exec('ip', 'route', 'show', 'table', table, 'dev', name)).includes('10.1.10.1'))
      found.push(table)
  return found
}
