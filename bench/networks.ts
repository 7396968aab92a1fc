import type { Protocol } from './contenders.ts'

/** What a network is called, what is carried there, and who all others are compared with there. */
interface Known {
  readonly title: string
  readonly protocol: Protocol
  /** Whether everything at the gateway shares one processor, and everything else another one. */
  readonly oneCore: boolean
  /** Whether the way from gateway to pod is long and loses packets. */
  readonly lossy: boolean
  readonly reference: string
}

const clean = { protocol: 'tcp', oneCore: false, lossy: false, reference: 'haproxy' } as const
const lossy = { ...clean, lossy: true } as const

export const networks = {
  clean: { ...clean, title: 'No delay, no loss' },
  lossy: { ...lossy, title: '40 ms round trip, 1 % of the packets lost in each direction' },
  clean1: { ...clean, oneCore: true, title: 'Gateway with one core: no delay, no loss' },
  lossy1: {
    ...lossy,
    oneCore: true,
    title: 'Gateway with one core: 40 ms round trip, 1 % of the packets lost in each direction',
  },
  udp: { ...clean, protocol: 'udp', reference: 'socat', title: 'Datagrams, no delay, no loss' },
} as const satisfies Record<string, Known>

export type NetworkName = keyof typeof networks
export const networkNames = Object.keys(networks) as NetworkName[]

export function isNetwork(name: string): name is NetworkName {
  return Object.hasOwn(networks, name)
}
