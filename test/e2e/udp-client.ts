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

/** What a crowd heard: what was not for whoever got it, or came twice, and how many replies are missing. */
export interface CrowdHeard {
  readonly wrong: readonly string[]
  readonly missing: number
}

/**
 * So many clients of one address at once, each with a socket of its own that sends thrice. Behind the port is a receiver of the tests'
 * own, which tells whom it saw send what.
 */
export function crowd(
  client: Host,
  clients: { readonly host: string; readonly port: number; readonly from: string; readonly count: number },
): Promise<CrowdHeard> {
  return client.run(async ({ host, port, from, count }) => {
    const { createSocket } = await import('node:dgram')
    const { createHash, randomBytes } = await import('node:crypto')
    const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)
    const wrong: string[] = []
    let missing = 0
    const one = async () => {
      const socket = createSocket('udp4')
      await new Promise<void>(resolve => socket.bind(0, from, resolve))
      const own = socket.address().port
      const waiting = new Set<string>()
      const over = Promise.withResolvers<void>()
      let left = 3
      socket.on('message', message => {
        const [client, told, , , sum] = message.toString().split(' ')
        if (client !== from || Number(told) !== own || !waiting.delete(sum!))
          wrong.push(`${from}:${own} got ${message}`)
        if (left === 0 && waiting.size === 0) over.resolve()
      })
      for (; left > 0; left--) {
        const payload = randomBytes(64 + Math.floor(Math.random() * 200))
        waiting.add(digest(payload))
        socket.send(payload, port, host)
        await new Promise(resolve => setTimeout(resolve, 300))
      }
      if (waiting.size > 0)
        await Promise.race([over.promise, new Promise(resolve => setTimeout(resolve, 3000))])
      missing += waiting.size
      socket.close()
    }
    // A burst larger than a socket's buffer is lost in the kernel, which is not what is asked here.
    const all: Promise<void>[] = []
    for (let i = 0; i < count; i++) {
      all.push(one())
      if (i % 50 === 49) await new Promise(resolve => setTimeout(resolve, 10))
    }
    await Promise.all(all)
    return { wrong, missing }
  }, clients)
}
