import type { SocketAddress } from '../address.ts'
import type { UdpForm } from '../config/config.ts'
import type { Tlv } from '../proxy/proxy-header.ts'
export class FormSender {
  readonly payloadLimit: number
  constructor(options: {
    form: false | UdpForm
    client: SocketAddress
    destination: SocketAddress
    tlvs: readonly Tlv[]
    limit: number
    payloadLimit: number
    mayMark: boolean
    proxyFirst: number
  }) {
    this.payloadLimit = options.payloadLimit
  }
  wrap(payload: Buffer, _now: number): readonly (Buffer | readonly Buffer[])[] | undefined {
    return payload.length > this.payloadLimit ? undefined : [payload]
  }
  reply(bytes: Buffer, _now: number): Buffer | 'own' | 'reply-header' {
    return bytes
  }
  pending(): readonly Buffer[] {
    return []
  }
}
