/** Peers of a simulated tunnel with a clock of its own: what is sampled, probed and done is real, the network is not. */
import { setImmediate as turn } from 'node:timers/promises'
import { familyOf } from '../../src/address.ts'
import type { PeerConfig, TunnelConfig } from '../../src/config/config.ts'
import type { Running } from '../../src/tunnel/bring-up.ts'
import { EndpointNames, type Resolve } from '../../src/tunnel/names.ts'
import { Peers } from '../../src/tunnel/peers.ts'
import type { Aim } from '../../src/tunnel/probe.ts'
import { Prober } from '../../src/tunnel/prober.ts'
import { Recovery } from '../../src/tunnel/recovery.ts'
import { toHex } from '../../src/tunnel/uapi-codec.ts'
import { allOpen } from '../../src/ways.ts'
import { KeptLog } from './fake.ts'
import { keys, tunnelConfig } from './lab.ts'

/** The far side, and the way there. */
export interface Far {
  /** At which endpoints it can be reached; all of them when absent. */
  at?: readonly string[]
  reachable: boolean
  /** What is lost all the same: what is sent there, or what it sends. */
  lost: 'to' | 'from' | undefined
  /** It sends something every second, of its own. */
  talks: boolean
  /** Drops what comes out of its tunnel, except what WireGuard itself answers. */
  firewall: boolean
  /** Share of packets lost, each way. */
  loss: number
  /** Bytes of the largest packet that passes. */
  largest: number
}

/** A generator of numbers from 0 to 1 (mulberry32), for worlds that can be made again. */
export function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

export function world(
  peers: readonly PeerConfig[],
  options: {
    readonly random?: () => number
    readonly resolve?: Resolve
    readonly config?: Partial<TunnelConfig>
  } = {},
) {
  const { random = seeded(1), resolve = () => Promise.reject(new Error('SERVFAIL')) } = options
  const log = new KeptLog()
  let now = 1_700_000_000_000
  const config = tunnelConfig(keys(), ['10.1.10.2/24'], { peers, ...options.config })
  const fars = peers.map(
    (): Far => ({
      reachable: true,
      lost: undefined,
      talks: false,
      firewall: false,
      loss: 0,
      largest: 1420,
    }),
  )
  const wires = peers.map(peer => ({
    endpoint: peer.endpoint && familyOf(peer.endpoint.host) !== 0 ? `${peer.endpoint.host}:51820` : undefined,
    received: 0,
    sent: 0,
    lastHandshake: undefined as number | undefined,
    tried: 0,
    keepaliveAt: Number.POSITIVE_INFINITY,
  }))
  /** What was set, by peer, and what was done to the device. */
  const done: string[] = []
  const broken = { uapi: false }

  const passes = (index: number, way: 'to' | 'from') => {
    const [far, wire] = [fars[index]!, wires[index]!]
    if (far.lost === way) return false
    const found = far.at === undefined || (wire.endpoint !== undefined && far.at.includes(wire.endpoint))
    return far.reachable && found && random() >= far.loss
  }
  const handshake = (index: number) => {
    const wire = wires[index]!
    if (wire.endpoint === undefined || now - wire.tried < 5000) return
    wire.tried = now
    wire.sent += 148
    if (!passes(index, 'to') || !passes(index, 'from')) return
    wire.received += 92
    wire.lastHandshake = now
  }
  let askedAt = 0
  const ask = async ({ address }: Aim, size = 60): Promise<number | undefined> => {
    askedAt = now
    const index = peers.findIndex(peer => peer.address === address)
    const [far, wire] = [fars[index]!, wires[index]!]
    if (wire.lastHandshake === undefined) handshake(index)
    if (wire.lastHandshake === undefined) return undefined
    wire.sent += size + 36
    if (size > far.largest || !passes(index, 'to')) return undefined
    if (far.firewall) {
      wire.keepaliveAt = Math.min(wire.keepaliveAt, now + 10_000)
      return undefined
    }
    if (!passes(index, 'from')) return undefined
    wire.received += 80
    return 40
  }
  const running = {
    process: { stop: async () => void done.push('restart') },
    uapi: {
      set: async (lines: readonly string[]) => {
        if (broken.uapi) throw new Error('no answer')
        if (lines[0] === 'listen_port=0') return void done.push('port')
        const index = peers.findIndex(peer => lines[0] === `public_key=${toHex(peer.publicKey)}`)
        const endpoint = lines.find(line => line.startsWith('endpoint='))?.slice(9)
        done.push(`${lines.includes('remove=true') ? 'recreate' : 'move'} ${index} ${endpoint}`)
        const wire = wires[index]!
        Object.assign(wire, { endpoint, received: 0, sent: 0, lastHandshake: undefined, tried: 0 })
        handshake(index)
      },
    },
  } as unknown as Running

  const known = new Peers(peers, { log, now: () => now, momentOf: time => time })
  const names = new EndpointNames(peers, { log, resolve, usable: async () => true, retry: () => 1 << 30 })
  const parts = { config: () => config, peers: known, names, log, now: () => now }
  const prober = new Prober({
    ...parts,
    ways: allOpen,
    tcp: aim => ask(aim),
    udp: (aim, size) => ask(aim, size),
    rest: async () => {},
  })
  const recovery = new Recovery({ ...parts, running: () => running, prober, random })
  for (const index of peers.keys()) handshake(index)

  const second = async () => {
    now += 1000
    for (const [index, wire] of wires.entries()) {
      // Renewed after 120 s (REKEY_AFTER_TIME).
      const isDue = wire.lastHandshake === undefined ? wire.tried > 0 : now - wire.lastHandshake >= 120_000
      if (isDue) handshake(index)
      if (fars[index]!.talks && passes(index, 'from')) wire.received += 96
      if (now < wire.keepaliveAt) continue
      wire.keepaliveAt = Number.POSITIVE_INFINITY
      if (passes(index, 'from')) wire.received += 32
    }
    known.update({
      listenPort: 1,
      fwMark: 0,
      peers: peers.map(({ publicKey, keepalive }, index) => {
        const { endpoint, received, sent, lastHandshake } = wires[index]!
        const counts = { receivedBytes: received, sentBytes: sent }
        return { publicKey, endpoint, lastHandshake, ...counts, keepalive, allowedIps: [] }
      }),
    })
    recovery.tick()
    prober.tick()
    for (let i = 0; i < 5; i++) await turn()
  }

  return {
    log,
    done,
    /** Whether a peer was probed in this second. */
    askedNow: () => askedAt === now,
    broken,
    fars,
    wires,
    names,
    recovery,
    states: () => known.status().map(({ path }) => path.state),
    status: (index = 0) => known.status()[index]!.path,
    reasons: () => known.reasons().map(({ code }) => code),
    /** Changes from up to dead and back, of all peers. */
    flips: () =>
      log
        .of('path changed')
        .filter(({ fields }) => fields.to === 'dead' || (fields.to === 'up' && fields.from !== 'starting'))
        .length,
    pass: async (seconds: number) => {
      for (let i = 0; i < seconds; i++) await second()
    },
    /** Seconds until it is so, at most 600. */
    until: async (isSo: () => boolean) => {
      for (let seconds = 1; seconds <= 600; seconds++) {
        await second()
        if (isSo()) return seconds
      }
      return Number.POSITIVE_INFINITY
    },
  }
}
