import type { Socket } from 'node:net'
import { unmap } from '../address.ts'
import type { TcpForwardConfig } from '../config/config.ts'
import { clientOf } from '../connection/arrival.ts'
import { Client } from '../connection/client.ts'
import { Connection } from '../connection/connection.ts'
import { type Downstream, StreamDownstream } from '../connection/downstream.ts'
import { type ConnectionLines, connectionLines } from '../connection/lines.ts'
import type { ConnectionOwner, OpenConnection } from '../connection/owner.ts'
import { SocketDownstream } from '../connection/socket-downstream.ts'
import type { TcpForwardStatus } from '../connection/status.ts'
import type { Arrival } from '../link/acceptor.ts'
import type { Session } from '../link/session.ts'
import { reset } from '../sockets/reset.ts'
import type { Share } from '../sockets/shares.ts'
import { Knock } from '../upstream/knock.ts'
import type { RefusalReason } from '../upstream/refusal-reason.ts'
import type { Target } from '../upstream/target.ts'
import { Connections } from './connections.ts'
import { Forward, type ForwardOptions } from './forward.ts'

/** A forward of connections. */
export class TcpForward extends Forward<TcpForwardConfig> implements ConnectionOwner {
  readonly lines: ConnectionLines
  readonly opened = new Connections()
  readonly #linkTo: ForwardOptions['linkTo']

  constructor(config: TcpForwardConfig, options: ForwardOptions) {
    super(config, options)
    this.lines = connectionLines(options.log, config.name)
    this.#linkTo = options.linkTo
  }

  override configure(config: TcpForwardConfig, tunnelAddresses: readonly string[]): void {
    this.admission.configure(config.limits)
    super.configure(config, tunnelAddresses)
  }

  /** A client of one of its listeners. */
  accept(socket: Socket, offset: number): void {
    // Reset before it was accepted: nobody knows any more whose it was.
    if (socket.remoteAddress === undefined) {
      socket.destroy()
      return
    }
    const isTunnel = this.config.listen.host === 'tunnel'
    const peer = isTunnel ? this.peers.of(unmap(socket.remoteAddress)) : undefined
    const shortage = this.descriptors.shortage(2, this.share, peer)
    if (shortage !== undefined) {
      this.#turnAway(socket, shortage)
      return
    }
    this.seen?.(socket.remoteAddress, isTunnel)
    // Its own, and its target's.
    this.#begin(new SocketDownstream(socket, peer), offset, 2)
  }

  /** A client that another end took and sent over a link, as if it had come to one of its listeners. */
  acceptStream(arrival: Arrival, offset: number): void {
    const { stream, session, peer, remoteAddress } = arrival
    const client = clientOf(arrival, this)
    if (client instanceof Client) {
      this.#begin(new StreamDownstream(stream, session, peer, client), offset, 1)
      return
    }
    this.#countRefusal(client.reason, remoteAddress, client.detail)
    stream.abort(client)
  }

  take(count: number, peer: Share | undefined): void {
    this.descriptors.take(count, this.share, peer)
  }

  linkTo(address: string): Session | undefined {
    return this.config.sendProxy === false ? undefined : this.#linkTo(address)
  }

  get linkPort(): number | undefined {
    const { listen, acceptProxy } = this.config
    return acceptProxy === false || listen.first !== listen.last ? undefined : listen.first
  }

  ended(connection: OpenConnection): void {
    this.admission.release(connection)
    this.opened.ended(connection)
  }

  look(): void {
    this.opened.look()
  }

  async drain(signal: AbortSignal): Promise<void> {
    this.upstreams.close()
    await this.opened.drain(signal)
    for (const lines of Object.values(this.lines)) lines.flush()
  }

  status(): TcpForwardStatus {
    const { acceptProxy, sendProxy } = this.config
    return { protocol: 'tcp', ...this.commonStatus(this.opened.status()), acceptProxy, sendProxy }
  }

  protected knock(target: Target, told: (error: string | undefined) => void): Knock {
    return new Knock(target, this, { session: this.linkTo(target.address), told })
  }

  #begin(downstream: Downstream, offset: number, descriptors: number): void {
    this.opened.begin(new Connection(this, downstream, offset), downstream, descriptors)
  }

  /** At once: one more would take the descriptors that established connections, probes and health checks need. */
  #turnAway(socket: Socket, shortage: string): void {
    this.#countRefusal('descriptor-limit', unmap(socket.remoteAddress ?? ''), shortage)
    socket.on('error', () => {})
    reset(socket)
  }

  #countRefusal(reason: RefusalReason, client: string, detail: string): void {
    this.counters.refused[reason]++
    this.lines.refused.warn(reason, { client, reason, detail })
  }
}
