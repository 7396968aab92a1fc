import { writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import * as v from 'valibot'
import type { Host, Lab } from '../test/lab/lab.ts'
import { address, deviceOf, wireguardGo } from './network.ts'

/** Settings that differ from those of the plain contender, so that each can be tried alone: `NAME@VARIANT`. */
export type Variant = v.InferOutput<typeof schema>

const positive = v.pipe(v.number(), v.integer(), v.minValue(1))

const schema = v.strictObject({
  /** Another wireguard-go. */
  wireguardGo: v.exactOptional(v.string()),
  /** Environment of wireguard-go, such as GOMAXPROCS. */
  env: v.exactOptional(v.record(v.string(), v.string())),
  /** Another main.js (or main.ts) of ours. */
  program: v.exactOptional(v.string()),
  /** Options of the Node that runs it, such as --max-semi-space-size=2. */
  nodeOptions: v.exactOptional(v.string()),
  /** MTU of the tunnel, in bytes. */
  mtu: v.exactOptional(positive),
  /** MTU of the cable between gateway and pod, in bytes; not on the lossy network. */
  linkMtu: v.exactOptional(positive),
  /** Congestion control of TCP through the tunnel; `kernel`: the machine's own. */
  congestionControl: v.exactOptional(v.string()),
  /** Attributes of the routes through the tunnel, as in `ip route … initcwnd 32`. */
  route: v.exactOptional(v.string()),
  /** Queueing discipline of the tunnel's devices, as tc(8) takes it. */
  qdisc: v.exactOptional(v.string()),
  /** Packets. */
  txQueueLength: v.exactOptional(positive),
  /** `NAME=VALUE`, in each namespace. */
  sysctl: v.exactOptional(v.array(v.string())),
})

/** Those that need no `--variant`. */
export const knownVariants: Readonly<Record<string, Variant>> = {
  cubic: { congestionControl: 'cubic' },
  bbr: { congestionControl: 'bbr' },
}

/** @throws Error with what is wrong. */
export function parseVariant(text: string): Variant {
  const { output, issues } = v.safeParse(schema, JSON.parse(text))
  if (issues === undefined) return output as Variant
  throw new Error(
    issues.map(issue => `${issue.path?.map(({ key }) => key).join('.')}: ${issue.message}`).join('; '),
  )
}

/** The wireguard-go of a variant; where it has an environment of its own, a script that sets it. */
export async function binaryOf(lab: Lab, variant: Variant): Promise<string> {
  const binary = resolve(variant.wireguardGo ?? wireguardGo)
  if (variant.env === undefined) return binary
  const script = join(lab.folder, 'wireguard-go')
  const assignments = Object.entries(variant.env).map(([name, value]) => quote(`${name}=${value}`))
  await writeFile(script, `#!/bin/sh\nexec env ${assignments.join(' ')} ${quote(binary)} "$@"\n`, {
    mode: 0o755,
  })
  return script
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/**
 * Puts attributes on the route from each end to the other's tunnel address, and the variant's queue on the devices.
 * A replaced route is a new one: `congestionControl` has to be said again.
 */
export async function tuneTunnel(
  { lab, gateway, pod }: { lab: Lab; gateway: Host; pod: Host },
  variant: Variant,
  congestionControl: string,
): Promise<void> {
  for (const [host, end, own, peer] of [
    [gateway, 'gateway', address.gatewayTunnel, address.podTunnel],
    [pod, 'pod', address.podTunnel, address.gatewayTunnel],
  ] as const) {
    const device = deviceOf(lab, 't', end)
    const attributes = [
      ...(congestionControl === 'kernel' ? [] : ['congctl', congestionControl]),
      ...words(variant.route),
    ]
    if (attributes.length > 0)
      await host.exec('ip', 'route', 'replace', `${peer}/32`, 'dev', device, 'src', own, ...attributes)
    if (variant.qdisc !== undefined)
      await host.exec('tc', 'qdisc', 'replace', 'dev', device, 'root', ...words(variant.qdisc))
    if (variant.txQueueLength !== undefined)
      await host.exec('ip', 'link', 'set', device, 'txqueuelen', String(variant.txQueueLength))
  }
}

function words(text = ''): string[] {
  return text.split(' ').filter(word => word !== '')
}
