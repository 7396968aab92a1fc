import type { Host } from '../lab/lab.ts'

/** What one socket of a client sends, and what comes back to it. */
export interface Talk {
  readonly host: string
  readonly port: number
  /** Address to send from; by default any. */
  readonly from?: string
  /** The payloads, as hex, in this order. */
  readonly payloads: readonly string[]
  /** Milliseconds before each but the first. */
  readonly pause?: number
  /** It waits until so many replies have come, or until so many milliseconds are over after the last payload. */
  readonly replies?: number
  readonly ms?: number
}

export interface Heard {
  /** Its address and port. */
  readonly address: string
  readonly port: number
  /** Hex, as they came. */
  readonly replies: readonly string[]
}

export const hex = (text: string) => Buffer.from(text).toString('hex')
export const text = (hex: string) => Buffer.from(hex, 'hex').toString()

/** The socket is connected, so that a reply from elsewhere than from where it was sent to is not heard. */
export function talk(client: Host, talk: Talk): Promise<Heard> {
  return client.run(
    async ({ host, port, from, payloads, pause = 20, replies = payloads.length, ms = 2000 }) => {
      const { createSocket } = await import('node:dgram')
      const { default: EventEmitter } = await import('node:events')
      const socket = createSocket({ type: host.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
      if (from !== undefined) socket.bind(0, from)
      socket.connect(port, host)
      await EventEmitter.once(socket, 'connect')
      const heard: string[] = []
      const all = Promise.withResolvers<void>()
      socket.on('error', () => {})
      socket.on('message', message => {
        heard.push(message.toString('hex'))
        if (heard.length >= replies) all.resolve()
      })
      for (const [index, payload] of payloads.entries()) {
        if (index > 0) await new Promise(resolve => setTimeout(resolve, pause))
        // A datagram that does not fit is the kernel's to refuse, and no fault here.
        socket.send(Buffer.from(payload, 'hex'), () => {})
      }
      await Promise.race([all.promise, new Promise(resolve => setTimeout(resolve, ms))])
      const { address, port: own } = socket.address()
      socket.close()
      return { address, port: own, replies: heard }
    },
    talk,
  )
}
