import { formatHostPort, type SocketAddress } from '../address.ts'
import type { UdpForwardConfig } from '../config/config.ts'
import type { UdpForwardStatus } from '../connection/status.ts'
import { DatagramCounters } from '../datagram/counters.ts'
import type { Door } from '../datagram/door.ts'
import type { Flow, FlowClient } from '../datagram/flow.ts'
import { type FlowLines, flowLines, tellDropped } from '../datagram/lines.ts'
import { FormReceiver } from '../datagram/receiver.ts'
import { FlowTable, type TableOwner } from '../datagram/table.ts'
import { answerDatagramTrace } from '../datagram/trace.ts'
import type { Tlv } from '../proxy/proxy-header.ts'
import { isTrace } from '../proxy/trace-mark.ts'
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
}
