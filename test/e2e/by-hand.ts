import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { deviceListens } from '../lab/device.ts'
import type { Host, Lab } from '../lab/lab.ts'

const wireguardGo = join(import.meta.dirname, '../../native/bin/wireguard-go')

/** A tunnel by hand: wireguard-go set up with wg(8) and ip(8). Gives the folder of its files. */
export async function startDeviceByHand(
  lab: Lab,
  host: Host,
  { device, wgConf, address }: Record<'device' | 'wgConf' | 'address', string>,
): Promise<string> {
  const folder = join(lab.folder, `${device}-by-hand`)
  await mkdir(folder, { recursive: true })
  host.start(wireguardGo, ['-f', device], { env: { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'error' } })
  // wg(8) does not know Address, which is wg-quick's.
  const conf = join(folder, 'wg.conf')
  await writeFile(conf, wgConf.replace(/^Address.*\n/m, ''), { mode: 0o600 })
  await deviceListens(device)
  await host.exec('wg', 'setconf', device, conf)
  await host.exec('ip', 'address', 'add', address, 'dev', device)
  await host.exec('ip', 'link', 'set', device, 'mtu', '1420', 'up')
  return folder
}

/** The other kind of end: a tunnel by hand, and HAProxy. */
export async function startEndByHand(
  lab: Lab,
  host: Host,
  { haproxyCfg, ...tunnel }: Parameters<typeof startDeviceByHand>[2] & { readonly haproxyCfg: string },
): Promise<void> {
  const folder = await startDeviceByHand(lab, host, tunnel)
  const cfg = join(folder, 'haproxy.cfg')
  await writeFile(
    cfg,
    `defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n${haproxyCfg}`,
  )
  host.start('haproxy', ['-db', '-f', cfg])
}
