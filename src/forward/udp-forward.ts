import type { SocketAddress } from '../address.ts'
import type { UdpForwardConfig } from '../config/config.ts'
import type { UdpForwardStatus } from '../connection/status.ts'
import { DatagramCounters } from '../datagram/counters.ts'
import type { Door } from '../datagram/door.ts'
import type { Flow } from '../datagram/flow.ts'
import { type FlowLines, flowLines } from '../datagram/lines.ts'
import { FlowTable, type TableOwner } from '../datagram/table.ts'
import type { Share } from '../sockets/shares.ts'
import type { Try } from '../upstream/check.ts'
import { Forward, type ForwardOptions } from './forward.ts'

/** A forward of datagrams. */
export class UdpForward extends Forward<UdpForwardConfig> implements TableOwner {
  readonly lines: FlowLines
  readonly datagrams = new DatagramCounters()
  readonly opened = new FlowTable(this)
  /** Streams alone cross a link. */
  readonly linkPort = undefined
  #isChanging = false

  constructor(config: UdpForwardConfig, options: ForwardOptions) {
    super(config, options)
    this.lines = flowLines(options.log, config.name)
  }

  override configure(config: UdpForwardConfig, tunnelAddresses: readonly string[]): void {
    // At a bound of flows one goes for the other: the table sees to it.
    const { allow, deny, newConnectionsPerSecond } = config.limits
    this.admission.configure({ allow, deny, newConnectionsPerSecond })
    super.configure(config, tunnelAddresses)
  }

  /** A datagram that has come to one of its listeners. Its memory is the forward's from now on. */
  receive(bytes: Buffer, sender: SocketAddress, door: Door, offset: number): void {
    const now = performance.now()
    const key = `${door.text} ${sender.address} ${sender.port}`
    const flow = this.opened.use(key, now)
    if (flow !== undefined) flow.take(bytes, now)
    else {
      const client = { source: sender, destination: door.local, tlvs: [], neighbour: sender }
      this.opened.begin(key, client, door, offset, now)?.take(bytes, now)
    }
  }

  // What its flows ask and tell.

  isPeer(address: string): boolean {
    return this.peers.has(address)
  }

  peerOf(address: string): Share | undefined {
    return this.#isOnTunnel ? this.peers.of(address) : undefined
  }

  shutFor(address: string): string | undefined {
    return this.#isOnTunnel ? this.ways.heard(address) : undefined
  }

  wrapReply(payload: Buffer, _flow: Flow): Buffer {
    return payload
  }

  began(address: string): void {
    this.seen?.(address, this.#isOnTunnel)
  }

  ended(_neighbour: SocketAddress): void {}

  get #isOnTunnel(): boolean {
    return this.config.listen.host === 'tunnel'
  }

  /** Nobody who has gone goes unheard: a flow that is not used ends. */
  look(): void {}

  async drain(signal: AbortSignal): Promise<void> {
    await this.opened.drain(signal)
    this.upstreams.close()
    for (const lines of Object.values(this.lines)) lines.flush()
  }

  status(): UdpForwardStatus {
    const { acceptProxy, sendProxy } = this.config
    let { received, sent } = this.datagrams
    for (const { datagrams } of this.opened.status()) {
      received += datagrams?.received ?? 0
      sent += datagrams?.sent ?? 0
    }
    const { evicted, dropped } = this.datagrams
    const datagrams = { received, sent, evicted, dropped: { ...dropped } }
    return { protocol: 'udp', ...this.commonStatus(), acceptProxy, sendProxy, datagrams }
  }

  /** Never: there is no datagram that is harmless to every receiver. */
  protected knock(): Try {
    return { cancel() {} }
  }

  /** Once for all that changes in one turn. */
  protected override changed(): void {
    if (this.#isChanging) return
    this.#isChanging = true
    setImmediate(() => {
      this.#isChanging = false
      this.opened.retarget()
    })
  }
}
