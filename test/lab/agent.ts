import { connect, createServer, type Socket } from 'node:net'

/** Runs the functions that it is sent, in the namespace where it was started; see `Host.run`. */

/** What a function that is sent over gets beside its argument. */
export const tools = { openSocket }
export type Tools = typeof tools

/** Where to get a connection from: connect there, or listen on that port (127.0.0.1 unless told) for one. */
export type Opening =
  | { readonly host: string; readonly port: number }
  | { readonly listen: number; readonly on?: string }

/** One half-open-capable TCP connection; its errors are the caller's. */
async function openSocket(opening: Opening): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if ('host' in opening) {
      const socket = connect({ ...opening, allowHalfOpen: true, autoSelectFamily: false })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(socket)
      })
    } else {
      const server = createServer({ allowHalfOpen: true }, socket => {
        server.close()
        resolve(socket)
      })
      server.once('error', reject)
      server.listen(opening.listen, opening.on ?? '127.0.0.1')
    }
  })
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
