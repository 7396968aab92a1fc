import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'

/** What `init` writes, as its tests read it. */

/** Flags that are right, for a folder. */
export function flags(folder: string, ...more: string[]): string[] {
  return [
    folder,
    '--endpoint',
    'gateway.example.com',
    '--forward',
    '443',
    '--target',
    'traefik.dmz.svc',
    ...more,
  ]
}

export function read(pair: string, file: string): string {
  return readFileSync(join(pair, file), 'utf8')
}

/** The files of one of the cluster's pods, made of values.yaml and secret.yaml as the chart does. */
export function podFiles(pair: string, ordinal = 0): { config: string; wgConf: string } {
  const { tunnel, config, replicas = 1 } = parse(read(pair, 'cluster/values.yaml'))
  const several = replicas > 1
  const wgConf =
    tunnel.wgConf === undefined
      ? parse(read(pair, 'cluster/secret.yaml')).stringData[several ? `wg0-${ordinal}.conf` : 'wg0.conf']
      : several
        ? tunnel.wgConf[ordinal]
        : tunnel.wgConf
  return { config: stringify({ tunnel: { mode: 'tun' }, ...config }), wgConf }
}
