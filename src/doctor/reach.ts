import { connect, type Socket } from 'node:net'
import { messageOf, systemCode } from '../errors.ts'

/** Milliseconds for a connection. */
const patience = 3000

export type Reached = { readonly socket: Socket; readonly ms: number } | { readonly error: string }

/** A TCP connection, and how long it took. */
export function reach(host: string, port: number): Promise<Reached> {
  const began = performance.now()
  return new Promise(resolve => {
    const socket = connect({ host, port, noDelay: true, autoSelectFamily: false })
    const timer = setTimeout(() => settle({ error: `no answer within ${patience} ms` }), patience)
    const settle = (reached: Reached) => {
      clearTimeout(timer)
      if ('error' in reached) socket.destroy()
      resolve(reached)
    }
    socket.on('error', error => settle({ error: systemCode(error) ?? messageOf(error) }))
    socket.on('connect', () => settle({ socket, ms: performance.now() - began }))
  })
}
