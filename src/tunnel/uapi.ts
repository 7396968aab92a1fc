import { connect as connectSocket, type Socket } from 'node:net'
import { EndError } from '../errors.ts'
import { type Device, holdsPrivateKey, parseDevice } from './uapi-codec.ts'

/** An operation that wireguard-go refused. */
export class UapiError extends EndError {
  /** Positive, as in errno(3): 22 is EINVAL, 98 EADDRINUSE. */
  readonly errno: number

  constructor(errno: number) {
    super('UAPI', `wireguard-go refused the configuration (errno ${errno})`)
    this.name = 'UapiError'
    this.errno = errno
  }
}

/** The most an answer may have, in bytes: many times what a thousand peers need. */
const maxAnswer = 16 << 20

/**
 * A client of wireguard-go's configuration socket (https://www.wireguard.com/xplatform/).
 *
 * Operations run one after the other on one connection. After a refused one the rest of what was written may still
 * lie unread in wireguard-go, and would be taken for the next operation: the next one gets a new connection.
 */
export class Uapi {
  readonly #path: string
  readonly #timeout: number
  readonly #connect: typeof connectSocket
  #socket: Socket | undefined
  #last: Promise<unknown> = Promise.resolve()
  #closed = false

  /** `timeout`: milliseconds for one operation, from its write to the end of the answer. */
  constructor(path: string, options: { timeout?: number; connect?: typeof connectSocket } = {}) {
    this.#path = path
    this.#timeout = options.timeout ?? 2000
    this.#connect = options.connect ?? connectSocket
  }

  /** The device without its secrets. */
  get(): Promise<Device> {
    return this.#run('get=1\n\n', parseDevice)
  }

  /** Whether the device runs with this private key (base64). */
  holds(privateKey: string): Promise<boolean> {
    return this.#run('get=1\n\n', answer => holdsPrivateKey(answer, privateKey))
  }

  /**
   * Sets `lines` as one operation, no lines without one. Not atomic: the lines before a refused one stay applied.
   *
   * @throws UapiError with the errno of the refusal.
   */
  async set(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return
    return this.#run(`set=1\n${lines.join('\n')}\n\n`, () => undefined)
  }

  /** Ends the connection; an operation under way fails. */
  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  #run<T>(operation: string, read: (answer: string) => T): Promise<T> {
    const result = this.#last.then(async () => read(await this.#exchange(operation)))
    this.#last = result.catch(() => {})
    return result
  }

  async #exchange(operation: string): Promise<string> {
    if (this.#closed) throw new EndError('UAPI', `${this.#path} is closed`)
    const socket = this.#reusable() ?? this.#connect({ path: this.#path }).on('error', () => {})
    this.#socket = socket
    try {
      const answer = await answerOf(socket, operation, this.#path, this.#timeout)
      const errno = Number(/(?:^|\n)errno=(-?\d+)\n\n$/.exec(answer)?.[1] ?? Number.NaN)
      if (Number.isNaN(errno)) throw new EndError('UAPI', `${this.#path} answered without an errno`)
      if (errno !== 0) throw new UapiError(Math.abs(errno))
      return answer
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  #reusable(): Socket | undefined {
    return this.#socket?.writable && !this.#socket.readableEnded ? this.#socket : undefined
  }
}

/** Everything up to the empty line that ends an answer, however it was split. */
function answerOf(socket: Socket, operation: string, path: string, timeout: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    let tail = ''
    const timer = setTimeout(() => fail(`no answer within ${timeout} ms`), timeout)
    const fail = (what: string, cause?: Error) => {
      settle()
      reject(new EndError('UAPI', `${path}: ${what}`, { cause }))
    }
    const onError = (error: Error) => fail(error.message, error)
    const onClose = () => fail('connection closed')
    const onData = (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      tail = (tail + chunk.toString('latin1', Math.max(0, chunk.length - 2))).slice(-2)
      if (tail === '\n\n') {
        settle()
        resolve(Buffer.concat(chunks).toString('latin1'))
      } else if (size > maxAnswer) fail('endless answer')
    }
    const settle = () => {
      clearTimeout(timer)
      socket.off('data', onData).off('close', onClose).off('error', onError)
    }
    socket.on('data', onData).once('close', onClose).once('error', onError)
    socket.write(operation)
  })
}
