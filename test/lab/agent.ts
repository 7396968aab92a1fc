import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

/** Runs the functions that it is sent, in the namespace where it was started; see `Host.run`. */

/** What a function that is sent over gets beside its argument. */
export const tools = {
  listen,
  openSocket,
  /** What one function leaves for those that are sent later. */
  state: new Map<string, unknown>(),
}
export type Tools = typeof tools

/** Where to get a connection from: connect there, or take the next one of `listen`. */
export type Opening = { readonly host: string; readonly port: number } | { readonly listen: number }

/** Connections that came to a port and were not taken yet, or those who wait for one. */
interface Backlog {
  readonly sockets: Socket[]
  readonly takers: ((socket: Socket) => void)[]
}

const backlogs = new Map<number, Backlog>()

/** Listens on 127.0.0.1:`port` from now on; the second call for a port does nothing. */
async function listen(port: number): Promise<void> {
  if (backlogs.has(port)) return
  const backlog: Backlog = { sockets: [], takers: [] }
  backlogs.set(port, backlog)
  const server = createServer({ allowHalfOpen: true }, socket => {
    const taker = backlog.takers.shift()
    if (taker === undefined) backlog.sockets.push(socket)
    else taker(socket)
  })
  await once(server.listen(port, '127.0.0.1'), 'listening')
}

/** One half-open-capable TCP connection; its errors are the caller's. */
async function openSocket(opening: Opening): Promise<Socket> {
  if ('listen' in opening) {
    const { sockets, takers } = backlogs.get(opening.listen)!
    return sockets.shift() ?? new Promise(resolve => takers.push(resolve))
  }
  const socket = connect({ ...opening, allowHalfOpen: true, autoSelectFamily: false })
  await once(socket, 'connect')
  return socket
}

process.on('message', async ({ id, task, argument }: { id: number; task: string; argument: unknown }) => {
  try {
    // biome-ignore lint/security/noGlobalEval: running what the test sends is its purpose
    const result = await globalThis.eval(`(${task})`)(argument, tools)
    process.send?.({ id, result })
  } catch (error) {
    process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }
})
process.on('disconnect', () => process.exit())
process.on('uncaughtException', error => process.stderr.write(`agent: ${error.stack}\n`))
