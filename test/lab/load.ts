import { createCipheriv, createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { seeded } from './random.ts'

/**
 * Transfers of known content, all the time: `Target` behind the cluster end, `Load` at the client. The client opens with
 * one line, `down BYTES KEY` or `up BYTES KEY`; the target answers `.`, and then comes the stream that KEY stands for,
 * from the target (down), or from the client (up), after which the target gives its SHA-256.
 */

type Way = 'down' | 'up'

export interface Transfer {
  readonly way: Way
  readonly bytes: number
  /** Milliseconds since the epoch. */
  readonly began: number
  readonly ended: number
  /**
   * `complete`: all of it, and right; `wrong`: other bytes; `short`: a clean end too early; `reset`: by this client;
   * `unserved`: ended before the target had answered; else the error's code.
   */
  readonly end: string
}

/** AES-CTR under the key's hash: different bytes all along, cheaply. */
function stream(key: string) {
  const cipher = createCipheriv('aes-128-ctr', createHash('md5').update(key).digest(), Buffer.alloc(16))
  return (bytes: number) => cipher.update(Buffer.alloc(bytes))
}

async function send(socket: Socket, bytes: number, key: string): Promise<void> {
  const next = stream(key)
  const closed = once(socket, 'close').catch(() => {})
  for (let sent = 0; sent < bytes && !socket.destroyed; sent += 65_536)
    if (!socket.write(next(Math.min(65_536, bytes - sent))))
      await Promise.race([once(socket, 'drain').catch(() => {}), closed])
  if (!socket.destroyed) socket.end()
}

export class Target {
  readonly #port: number
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(port: number) {
    this.#port = port
  }

  async start(): Promise<void> {
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#serve(socket))
    await once(this.#server.listen(this.#port, '127.0.0.1'), 'listening')
  }

  /** Resets what runs and refuses what comes, until it is started again. */
  stop(): void {
    this.#server?.close()
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket)).on('error', () => {})
    try {
      const { line, rest } = await firstLine(socket)
      const [way, bytes, key] = line.split(' ') as [Way, string, string]
      socket.write('.')
      if (way === 'down') return await send(socket.resume(), Number(bytes), key)
      const hash = createHash('sha256').update(rest)
      for await (const chunk of socket.iterator({ destroyOnReturn: false })) hash.update(chunk)
      socket.end(hash.digest('hex'))
    } catch {
      socket.destroy()
    }
  }
}

async function firstLine(socket: Socket): Promise<{ line: string; rest: Buffer }> {
  let head = Buffer.alloc(0)
  while (!head.includes(10)) {
    const chunk: Buffer | null = socket.read()
    if (chunk !== null) head = Buffer.concat([head, chunk])
    else if (socket.readableEnded || socket.destroyed) throw new Error('it ended within the first line')
    else await Promise.race([once(socket, 'readable'), once(socket, 'end'), once(socket, 'close')])
  }
  const end = head.indexOf(10)
  return { line: head.subarray(0, end).toString(), rest: head.subarray(end + 1) }
}

/** Clients that go on, each with one transfer after the other, until `finish`. */
export class Load {
  readonly #at: { readonly host: string; readonly port: number }
  readonly #sockets = new Set<Socket>()
  readonly #workers: Promise<void>[]
  #transfers: Transfer[] = []
  #finishing = false

  constructor({ host, port, seed, clients }: { host: string; port: number; seed: number; clients: number }) {
    this.#at = { host, port }
    this.#workers = Array.from({ length: clients }, (_, client) => this.#work(seed + client))
  }

  /** Those that have ended since the last call. */
  take(): Transfer[] {
    return this.#transfers.splice(0)
  }

  /** Resets all that run. */
  reset(): void {
    for (const socket of this.#sockets) {
      socket.emit('reset by this client')
      socket.resetAndDestroy()
    }
  }

  /** Reads nothing for a while. */
  async stall(ms: number): Promise<void> {
    const sockets = [...this.#sockets]
    for (const socket of sockets) socket.pause()
    await new Promise(resolve => setTimeout(resolve, ms))
    for (const socket of sockets) socket.resume()
  }

  /** Resolves when the last transfer has ended. */
  async finish(): Promise<void> {
    this.#finishing = true
    await Promise.all(this.#workers)
  }

  async #work(seed: number): Promise<void> {
    const random = seeded(seed)
    for (let i = 0; !this.#finishing; i++) {
      const way = random.pick(['down', 'up'] as const)
      // Many are short requests.
      const bytes = random.between(1, random.pick([1000, 100_000, 3_000_000]))
      const began = Date.now()
      const end = await this.#transfer(way, bytes, `${seed}-${i}`)
      this.#transfers.push({ way, bytes, began, ended: Date.now(), end })
      if (end !== 'complete') await new Promise(resolve => setTimeout(resolve, 100))
    }
  }

  async #transfer(way: Way, bytes: number, key: string): Promise<string> {
    const transfer = begin(this.#at, way, bytes, key)
    this.#sockets.add(transfer.socket)
    const end = await transfer.end
    this.#sockets.delete(transfer.socket)
    return transfer.isServed || end === 'reset' ? end : 'unserved'
  }
}

/** A transfer by one client; `end` is as `Transfer` has it, or the error's code. */
export function begin(at: { host: string; port: number }, way: Way, bytes: number, key: string) {
  const socket = connect({ ...at, allowHalfOpen: true })
  const hash = createHash('sha256')
  let received = 0
  let text = ''
  const over = new Promise<string>(resolve =>
    socket
      .on('data', chunk => {
        const content = received === 0 ? chunk.subarray(1) : chunk
        received += chunk.length
        if (way === 'down') hash.update(content)
        else text += content.toString('latin1')
      })
      .on('reset by this client', () => resolve('reset'))
      .on('error', (error: NodeJS.ErrnoException) => resolve(error.code!))
      .on('end', () => resolve('complete')),
  )
  socket.write(`${way} ${bytes} ${key}\n`)
  if (way === 'up') void send(socket, bytes, key)
  const judge = (end: string) => {
    socket.destroy()
    if (end !== 'complete') return end
    if (received - 1 < (way === 'down' ? bytes : 64)) return 'short'
    const right = createHash('sha256').update(stream(key)(bytes)).digest('hex')
    return (way === 'down' ? hash.digest('hex') : text) === right ? 'complete' : 'wrong'
  }
  return {
    socket,
    end: over.then(judge),
    /** The target has answered. */
    get isServed() {
      return received > 0
    },
  }
}
