import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { familyOf, parseHostPorts } from '../address.ts'
import type { TunnelConfig } from '../config/config.ts'
import { messageOf, systemCode } from '../errors.ts'
import { inTurn } from '../files/file-turns.ts'
import { replaceFile } from '../files/replace-file.ts'
import { readSmallFile } from '../files/small-file.ts'
import type { Log } from '../log/log.ts'
import type { Device } from './uapi-codec.ts'

/** Milliseconds between two writes, at least: a peer behind a restless NAT roams with every packet. The first is at once. */
const interval = 5000

/**
 * The last endpoints of the peers that have none in the config, kept over restarts in `STATEDIR/IFNAME.endpoints.json`.
 * With them a restarted gateway reaches its peers at once; without, only after the peers' own session timers ran out.
 *
 * The file is a help, never a need: one that is broken, or of another key, is ignored, and a disk that is full or
 * read-only costs one warning.
 */
export class Endpoints {
  #folder: string
  #file: string
  #publicKey: string
  readonly #log: Log
  readonly #interval: number
  #known = new Map<string, string>()
  /** Peers without an endpoint in the config. */
  #roaming: ReadonlySet<string>
  #saved = ''
  #flushedAt = Number.NEGATIVE_INFINITY
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()
  #warned = false

  constructor(
    config: Pick<TunnelConfig, 'stateDir' | 'interface' | 'publicKey' | 'peers'>,
    options: { readonly log: Log; readonly interval?: number },
  ) {
    this.#folder = config.stateDir
    this.#file = fileOf(config)
    this.#publicKey = config.publicKey
    this.#roaming = roaming(config)
    this.#log = options.log
    this.#interval = options.interval ?? interval
  }

  /** Goes on with another config: what was learnt of peers that it still expects to come by themselves is kept. */
  apply(config: TunnelConfig): void {
    this.#folder = config.stateDir
    if (this.#file !== fileOf(config)) this.#saved = ''
    this.#file = fileOf(config)
    this.#publicKey = config.publicKey
    this.#roaming = roaming(config)
    this.#known = new Map([...this.#known].filter(([key]) => this.#roaming.has(key)))
    this.#flush()
  }

  /** Reads what an earlier run left. */
  async load(): Promise<void> {
    try {
      const { text } = await readSmallFile(this.#file)
      const state: unknown = JSON.parse(text)
      if (!isState(state)) throw new Error('not a map of endpoints')
      if (state.publicKey !== this.#publicKey) throw new Error('of another key')
      for (const [peer, endpoint] of Object.entries(state.endpoints))
        if (isEndpoint(endpoint)) this.#known.set(peer, endpoint)
      this.#saved = text
    } catch (error) {
      if (systemCode(error) !== 'ENOENT')
        this.#log.debug({ file: this.#file, error: messageOf(error) }, 'endpoint file ignored')
    }
  }

  /** `ip:port` of this peer, when one was ever seen. */
  get(publicKey: string): string | undefined {
    return this.#known.get(publicKey)
  }

  /** Notes where the peers are now that come by themselves. */
  learn(device: Device): void {
    for (const { publicKey, endpoint } of device.peers)
      if (endpoint !== undefined && this.#roaming.has(publicKey)) this.set(publicKey, endpoint)
  }

  /** Notes where a peer is now; the file follows at once, or a few seconds after it was last written. */
  set(publicKey: string, endpoint: string): void {
    if (this.#known.get(publicKey) === endpoint) return
    this.#known.set(publicKey, endpoint)
    const wait = Math.max(0, this.#flushedAt + this.#interval - performance.now())
    this.#timer ??= setTimeout(() => this.#flush(), wait).unref()
  }

  /** Writes what is not written yet. */
  async close(): Promise<void> {
    this.#flush()
    await this.#writing
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#flushedAt = performance.now()
    const text = `${JSON.stringify({ publicKey: this.#publicKey, endpoints: Object.fromEntries(this.#known) })}\n`
    if (this.#known.size === 0 || text === this.#saved) return
    this.#writing = this.#writing.then(() => this.#write(text))
  }

  async #write(text: string): Promise<void> {
    const [folder, file] = [this.#folder, this.#file]
    try {
      await inTurn(file, async () => {
        await mkdir(folder, { recursive: true, mode: 0o755 })
        await replaceFile(file, text, 0o600)
      })
      this.#saved = text
      this.#warned = false
    } catch (error) {
      if (this.#warned) return
      this.#warned = true
      this.#log.warn({ file, error: messageOf(error) }, 'endpoint file not written')
    }
  }
}

function fileOf({
  stateDir,
  interface: name,
}: {
  readonly stateDir: string
  readonly interface: string
}): string {
  return join(stateDir, `${name}.endpoints.json`)
}

function roaming({ peers }: Pick<TunnelConfig, 'peers'>): Set<string> {
  return new Set(peers.filter(({ endpoint }) => endpoint === undefined).map(({ publicKey }) => publicKey))
}

function isState(value: unknown): value is { publicKey: unknown; endpoints: object } {
  if (typeof value !== 'object' || value === null || !('publicKey' in value && 'endpoints' in value))
    return false
  return typeof value.endpoints === 'object' && value.endpoints !== null
}

/** A literal address with a port: a line break in it would be a line of its own to wireguard-go. */
function isEndpoint(text: unknown): text is string {
  if (typeof text !== 'string') return false
  const parsed = parseHostPorts(text)
  return parsed !== undefined && parsed.first === parsed.last && familyOf(parsed.host) !== 0
}
