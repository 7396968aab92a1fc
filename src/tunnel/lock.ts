import { createServer } from 'node:net'
import { EndError, systemCode } from '../errors.ts'

/** Exclusive use of an interface name, until released or until this process dies. */
export interface Lock {
  release(): Promise<void>
}

/**
 * Takes the interface name for this process.
 *
 * The lock is an abstract Unix socket (unix(7)): it belongs to the network namespace, which is exactly where an
 * interface name is unique, and it vanishes with its process, however that dies. A file in the run folder would
 * do neither: namespaces share the folder.
 *
 * @throws EndError INTERFACE_TAKEN when another running end has it.
 */
export function takeInterface(name: string): Promise<Lock> {
  const server = createServer(socket => socket.destroy())
  return new Promise((resolve, reject) => {
    server.once('error', cause =>
      reject(
        systemCode(cause) === 'EADDRINUSE'
          ? new EndError('INTERFACE_TAKEN', `another wg-punchhole already runs interface ${name} here`, {
              fix: 'Stop it, or give this one its own name with tunnel.interface',
            })
          : cause,
      ),
    )
    server.listen({ path: `\0wg-punchhole/${name}` }, () => {
      server.unref()
      resolve({ release: () => new Promise(done => server.close(() => done())) })
    })
  })
}
