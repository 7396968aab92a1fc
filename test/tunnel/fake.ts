/** A wireguard-go that is none: a UAPI server with a script of its own, and a child process to go with it. */
import { EventEmitter } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import type { Log } from '../../src/log/log.ts'
import { scratchFolder } from '../lab/scratch.ts'

/** A path for a socket. */
export function socketPath(): string {
  return join(scratchFolder(), 'wg.sock')
}

/** Serves a UAPI socket. */
export class FakeUapi {
  /** What `get` answers, without errno. */
  device = 'listen_port=51820\n'
  /** Operations received, `set`s without their first line. */
  readonly operations: string[] = []
  /** The errno for operations that match. */
  refuse: { readonly matching: RegExp; readonly errno: number } | undefined
  mute = false
  /** Instead of an answer. */
  raw: string | undefined
  /** How many bytes of an answer go out at a time. */
  chunk = Number.POSITIVE_INFINITY
  connections = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  constructor() {
    this.#server = createServer(socket => {
      this.connections++
      this.#sockets.add(socket)
      let text = ''
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
      socket.on('data', async chunk => {
        text += chunk
        if (!text.endsWith('\n\n')) return
        const operation = text.trimEnd().replace(/^set=1\n/, '')
        text = ''
        this.operations.push(operation)
        if (this.mute) return
        await this.#answer(socket, operation)
      })
    })
  }

  async #answer(socket: Socket, operation: string): Promise<void> {
    const errno = this.refuse?.matching.test(operation) ? this.refuse.errno : 0
    const body = operation === 'get=1' ? this.device : ''
    const answer = this.raw ?? `${body}errno=${errno}\n\n`
    for (let at = 0; at < answer.length; at += this.chunk) {
      socket.write(answer.slice(at, at + this.chunk))
      await new Promise(setImmediate)
    }
  }

  listen(path: string): Promise<void> {
    return new Promise(resolve => this.#server.listen(path, resolve))
  }

  drop(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  close(): Promise<void> {
    return new Promise(resolve => {
      this.#server.close(() => resolve())
      this.drop()
    })
  }
}

/** A child process that obeys SIGTERM, or `deaf` only SIGKILL. */
export class FakeChild extends EventEmitter {
  readonly pid = 4711
  readonly stdout = new PassThrough()
  readonly stderr = new PassThrough()
  readonly signals: string[] = []
  deaf = false
  onEnd: () => Promise<void> = async () => {}

  kill(signal: string): boolean {
    this.signals.push(signal)
    if (signal === 'SIGKILL' || !this.deaf) void this.end(null, signal)
    return true
  }

  async end(code: number | null, signal: string | null = null): Promise<void> {
    await this.onEnd()
    this.emit('exit', code, signal)
  }
}

export interface Line {
  readonly level: string
  readonly message: string
  readonly fields: Record<string, unknown>
}

/** A log that keeps its lines, and tells about them. */
export class KeptLog implements Log {
  readonly lines: Line[] = []
  debugEnabled = true
  readonly #arrived = new EventEmitter()

  debug = (fields: object, message: string) => this.#keep('debug', fields, message)
  info = (fields: object, message: string) => this.#keep('info', fields, message)
  warn = (fields: object, message: string) => this.#keep('warn', fields, message)
  error = (fields: object, message: string) => this.#keep('error', fields, message)
  isLevelEnabled = (level: string) => level !== 'debug' || this.debugEnabled
  child = () => this

  of(message: string): Line[] {
    return this.lines.filter(line => line.message === message)
  }

  /** Resolves when there are that many lines with this message. */
  async seen(message: string, times = 1): Promise<Line> {
    while (this.of(message).length < times) await new Promise(resolve => this.#arrived.once('line', resolve))
    return this.of(message)[times - 1]!
  }

  #keep(level: string, fields: object, message: string): void {
    this.lines.push({ level, message, fields: { ...fields } })
    this.#arrived.emit('line')
  }
}
