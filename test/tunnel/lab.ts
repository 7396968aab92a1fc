/** Network namespaces, keys, configs and ends for the tests that run the real wireguard-go. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseCidr } from '../../src/address.ts'
import type { PeerConfig, TunnelConfig } from '../../src/config/config.ts'
import { scratchFolder } from '../lab/scratch.ts'

export interface Keys {
  readonly privateKey: string
  readonly publicKey: string
}

export function keys(): Keys {
  const pair = generateKeyPairSync('x25519')
  const raw = (der: Buffer) => der.subarray(-32).toString('base64')
  return {
    privateKey: raw(pair.privateKey.export({ type: 'pkcs8', format: 'der' })),
    publicKey: raw(pair.publicKey.export({ type: 'spki', format: 'der' })),
  }
}

export function presharedKey(): string {
  return randomBytes(32).toString('base64')
}

let count = 0

/** At most 15 characters, and no other test's: the run folder is shared by all namespaces. */
export function uniqueName(): string {
  return `tt${process.pid}n${count++}`
}

export function peer(
  publicKey: string,
  allowedIps: readonly string[],
  more: Partial<PeerConfig> = {},
): PeerConfig {
  const cidrs = allowedIps.map(text => parseCidr(text)!)
  return {
    publicKey,
    presharedKey: undefined,
    allowedIps: cidrs,
    trusted: cidrs,
    endpoint: undefined,
    keepalive: 0,
    address: undefined,
    mayBeRouted: true,
    ...more,
  }
}

export function tunnelConfig(
  pair: Keys,
  addresses: readonly string[],
  more: Partial<TunnelConfig> = {},
): TunnelConfig {
  return {
    interface: uniqueName(),
    stateDir: scratchFolder(),
    mtu: 1420,
    congestionControl: 'bbr',
    ...pair,
    listenPort: undefined,
    fwMark: undefined,
    table: 'auto',
    addresses: addresses.map(text => parseCidr(text)!),
    peers: [],
    probe: { port: 9, interval: 5000, timeout: 1000 },
    ...more,
  }
}

/** A gateway that listens on UDP 51820 and a cluster end that calls it, in namespaces of their own. */
export function pair(
  more: { gateway?: object; cluster?: object; endpoint?: { host: string; port: number } } = {},
) {
  const [one, other, psk] = [keys(), keys(), presharedKey()]
  return {
    gateway: tunnelConfig(one, ['10.1.10.1/24', 'fd00:10::1/64'], {
      listenPort: 51820,
      peers: [peer(other.publicKey, ['10.1.10.2/32', 'fd00:10::2/128'], { presharedKey: psk })],
      ...more.gateway,
    }),
    cluster: tunnelConfig(other, ['10.1.10.2/24', 'fd00:10::2/64'], {
      peers: [
        peer(one.publicKey, ['10.1.10.1/24', 'fd00:10::/64'], {
          presharedKey: psk,
          endpoint: more.endpoint ?? { host: '192.0.2.1', port: 51820 },
          keepalive: 25,
        }),
      ],
      ...more.cluster,
    }),
  }
}

/** A network namespace with its loopback up. */
export class Namespace implements Disposable {
  readonly name = uniqueName()

  constructor() {
    execFileSync('ip', ['netns', 'add', this.name])
    this.run('ip', 'link', 'set', 'lo', 'up')
  }

  /** Runs a program inside; what it printed. */
  run(...command: readonly string[]): string {
    return execFileSync('ip', ['netns', 'exec', this.name, ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  }

  /** Whether the interface exists inside. */
  has(link: string): boolean {
    return (JSON.parse(this.run('ip', '-json', 'link')) as { ifname: string }[]).some(
      ({ ifname }) => ifname === link,
    )
  }

  [Symbol.dispose](): void {
    execFileSync('ip', ['netns', 'delete', this.name])
  }
}

/** Connects two namespaces: 192.0.2.1 and 2001:db8::1 in the first, .2 and ::2 in the second. */
export function cable(one: Namespace, other: Namespace): void {
  one.run('ip', 'link', 'add', 'outer', 'type', 'veth', 'peer', 'name', 'outer', 'netns', other.name)
  for (const [space, host] of [
    [one, 1],
    [other, 2],
  ] as const) {
    space.run('ip', 'address', 'add', `192.0.2.${host}/24`, 'dev', 'outer')
    space.run('ip', 'address', 'add', `2001:db8::${host}/64`, 'dev', 'outer', 'nodad')
    space.run('ip', 'link', 'set', 'outer', 'up')
  }
}

// biome-ignore lint/suspicious/noExplicitAny: events are asserted by the tests, field by field
export type Event = Record<string, any>

/** An `end.ts` in a namespace. */
export class End implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #events: Event[] = []
  #waiting: (() => void)[] = []
  #ended = false
  readonly exited: Promise<void>

  constructor(
    space: Namespace,
    setup: {
      readonly config: TunnelConfig
      readonly names?: Record<string, string[]>
      readonly debug?: boolean
    },
    wrapper: readonly string[] = [],
  ) {
    const script = fileURLToPath(new URL('end.ts', import.meta.url))
    const command = ['netns', 'exec', space.name, ...wrapper, process.execPath, script, JSON.stringify(setup)]
    this.#child = spawn('ip', command, { stdio: ['pipe', 'pipe', 'inherit'] })
    // One that has ended reads no more; `event` tells that.
    this.#child.stdin!.on('error', () => {})
    createInterface({ input: this.#child.stdout! }).on('line', line => {
      this.#events.push(JSON.parse(line))
      this.#wake()
    })
    this.exited = new Promise(resolve => {
      this.#child.once('close', () => {
        this.#ended = true
        this.#wake()
        resolve()
      })
    })
  }

  /** The first event, from `from` on, that matches; those before it are looked at too. */
  async event(matches: (event: Event) => boolean, from = 0): Promise<Event> {
    for (let at = from; ; at++) {
      while (at >= this.#events.length) {
        if (this.#ended) throw new Error(`the end is over: ${JSON.stringify(this.#events)}`)
        await new Promise<void>(resolve => this.#waiting.push(resolve))
      }
      if (matches(this.#events[at]!)) return this.#events[at]!
    }
  }

  message(text: string): Promise<Event> {
    return this.event(({ message }) => message === text)
  }

  get events(): readonly Event[] {
    return this.#events
  }

  up(): Promise<Event> {
    return this.event(event => event.up === true || event.failed !== undefined).then(event => {
      if (event.up !== true) throw new Error(JSON.stringify(event))
      return event
    })
  }

  failed(): Promise<Event> {
    return this.event(event => event.failed !== undefined)
  }

  async ask(...command: readonly unknown[]): Promise<Event> {
    const from = this.#events.length
    this.#child.stdin!.write(`${JSON.stringify(command)}\n`)
    return (await this.event(event => 'answer' in event, from)).answer
  }

  /** Asks until the answer is as wanted. */
  async until(matches: (answer: Event) => boolean, ...command: readonly unknown[]): Promise<Event> {
    for (;;) {
      const answer = await this.ask(...command)
      if (matches(answer)) return answer
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  /** SIGKILL: wireguard-go lives on. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  async close(): Promise<void> {
    this.#child.stdin!.end()
    await this.exited
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}
