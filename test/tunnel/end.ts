/** One tunnel as a process of its own, to be run in a network namespace and to be killed. Commands come on stdin, as JSON lines. */
import { once } from 'node:events'
import { connect, createServer, type Server } from 'node:net'
import { createInterface } from 'node:readline'
import type { TunnelConfig } from '../../src/config/config.ts'
import { EndError, systemCode } from '../../src/errors.ts'
import type { Log } from '../../src/log/log.ts'
import { findBinary } from '../../src/tunnel/binary.ts'
import { Tunnel } from '../../src/tunnel/tunnel.ts'

interface Setup {
  readonly config: TunnelConfig
  readonly names?: Readonly<Record<string, readonly string[]>>
  readonly debug?: boolean
}

const { config, names = {}, debug = false } = JSON.parse(process.argv[2]!) as Setup

function print(event: object): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

const write = (level: string) => (fields: object, message: string) =>
  print({ log: level, message, ...fields })
const log: Log = {
  debug: write('debug'),
  info: write('info'),
  warn: write('warn'),
  error: write('error'),
  isLevelEnabled: level => debug || level !== 'debug',
}

/** `ECONNREFUSED` proves a path as well as `connected` does. */
async function dial(host: string, port: number): Promise<string> {
  const socket = connect({ host, port, timeout: 5000 })
  try {
    await Promise.race([
      once(socket, 'connect'),
      once(socket, 'timeout').then(() => {
        throw new Error('timeout')
      }),
    ])
    return 'connected'
  } catch (error) {
    return systemCode(error) ?? String(error)
  } finally {
    socket.destroy()
  }
}

/** Whether this address can be bound. */
async function bind(host: string): Promise<string> {
  const server = createServer().listen(0, host)
  try {
    await once(server, 'listening')
    return 'bound'
  } catch (error) {
    return systemCode(error) ?? String(error)
  } finally {
    server.close()
  }
}

const tunnel = new Tunnel(config, {
  log,
  binary: await findBinary(),
  resolve: async host => names[host] ?? Promise.reject(new Error(`no such name: ${host}`)),
})

/** Applies it, with a listener on `port` of every address before anything else changes; what it threw, or `applied`. */
async function apply(to: TunnelConfig, port?: number): Promise<object | string> {
  const servers: Server[] = []
  const listen = async (host: string) => {
    const server = createServer().listen(port, host)
    servers.push(server)
    await once(server, 'listening')
  }
  try {
    await tunnel.apply(to, async addresses => {
      if (port !== undefined) await Promise.all(addresses.map(listen))
    })
    return 'applied'
  } catch (error) {
    const { code, message, fix } = error as EndError
    return { code, message, fix }
  } finally {
    for (const server of servers) server.close()
  }
}

const answers: Record<string, (...args: never[]) => unknown> = {
  status: () => tunnel.status(),
  reasons: () => tunnel.reasons(),
  addresses: () => tunnel.addresses,
  apply,
  dial,
  bind,
}

const start = performance.now()
try {
  await tunnel.start(new AbortController().signal)
} catch (error) {
  const { code, message, fix } = error as EndError
  print({
    failed: error instanceof EndError ? code : 'OTHER',
    error: message,
    fix,
    after: performance.now() - start,
  })
  process.exit(1)
}
print({ up: true })
for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...args] = JSON.parse(line) as [string, ...never[]]
  print({ answer: (await answers[command]!(...args)) ?? null })
}
await Promise.all([tunnel.close(), tunnel.close()])
print({ closed: true })
