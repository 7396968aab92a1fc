import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { systemCode } from '../errors.ts'

/**
 * Two ways to ask a peer's tunnel address for a sign of life that any kernel gives, without a privilege and without
 * anything running there: a closed TCP port answers with RST, a closed UDP port with ICMP.
 */

/** From one of our own tunnel addresses, so that an answer came through the tunnel. */
export interface Aim {
  readonly from: string
  readonly address: string
  readonly port: number
  /** Milliseconds to wait for an answer. */
  readonly timeout: number
  /** A program that ends does not wait for it. */
  readonly isIdle?: boolean
}

/** Milliseconds to the answer; `undefined`: none. Never rejects. */
export type Answer = Promise<number | undefined>

/** A TCP connect. Refused and accepted both prove the path. */
export function probeTcp({ from, address, port, timeout, isIdle = false }: Aim): Answer {
  const sent = performance.now()
  return new Promise(resolve => {
    const socket = connect({ host: address, port, localAddress: from, autoSelectFamily: false })
    const timer = setTimeout(() => settle(false), timeout)
    const settle = (answered: boolean) => {
      clearTimeout(timer)
      // Of one that still connects `resetAndDestroy` waits for the connection.
      if (socket.connecting) socket.destroy()
      else socket.resetAndDestroy()
      resolve(answered ? performance.now() - sent : undefined)
    }
    if (isIdle) {
      timer.unref()
      socket.unref()
    }
    socket.once('connect', () => settle(true))
    socket.on('error', error => settle(systemCode(error) === 'ECONNREFUSED'))
  })
}

/**
 * One UDP datagram; with its headers it makes an IP packet of `size` bytes. The ICMP that answers it is seen as
 * ECONNREFUSED, on a connected socket only. Kernels send about one such ICMP a second to each address
 * (net.ipv4.icmp_ratelimit), so this is no way to ask often.
 */
export function probeUdp({ from, address, port, timeout }: Aim, size: number): Answer {
  const [type, headers] = address.includes(':') ? (['udp6', 48] as const) : (['udp4', 28] as const)
  const sent = performance.now()
  return new Promise(resolve => {
    const socket = createSocket(type)
    const timer = setTimeout(() => settle(false), timeout)
    const settle = (answered: boolean) => {
      clearTimeout(timer)
      socket.removeAllListeners('error').on('error', () => {})
      socket.close()
      resolve(answered ? performance.now() - sent : undefined)
    }
    socket.once('error', error => settle(systemCode(error) === 'ECONNREFUSED'))
    socket.once('message', () => settle(true))
    socket.bind(0, from, () =>
      socket.connect(port, address, (error?: Error) => {
        if (error !== undefined) settle(false)
        else socket.send(Buffer.alloc(Math.max(0, size - headers)))
      }),
    )
  })
}
