import { wallTime } from '../clock.ts'
import type { ReadSocket, Sink } from '../sockets/reader.ts'
import { longestHead, type Request, readRequest } from './request.ts'

/** What is answered, as it goes into HTTP. */
export interface Answer {
  readonly code: keyof typeof phrases
  readonly contentType: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

const phrases = {
  200: 'OK',
  400: 'Bad Request',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
}

/** Bytes behind a request that are still read, so that its answer is not lost in the reset that unread ones make. */
const mostBehind = 64 * 1024

export interface ExchangeOptions {
  /** Never rejects. */
  readonly respond: (request: Request) => Promise<Answer>
  /** The answer is written; of a large one the client has not taken all. */
  readonly answered: () => void
  /** Milliseconds that a client has for its request, and twice as long for the answer. */
  readonly timeout: number
}

/**
 * One request and its answer: a connection has one of each, so a client costs this end one answer whatever it sends
 * behind it. node:http would read a thousand requests from one packet before it looks at the answer of the first.
 */
export class Exchange implements Sink {
  readonly #socket: ReadSocket
  readonly #options: ExchangeOptions
  #timer: NodeJS.Timeout
  #head = ''
  #isRead = false
  #behind = 0

  constructor(socket: ReadSocket, options: ExchangeOptions) {
    this.#socket = socket
    this.#options = options
    this.#timer = this.#end(options.timeout)
    socket.sink = this
    socket.on('data', chunk => this.read(chunk))
    socket.on('end', () => {
      if (!this.#isRead) socket.destroy()
    })
    socket.on('error', () => {})
    socket.on('close', () => clearTimeout(this.#timer))
    socket.resume()
  }

  read(chunk: Buffer): boolean {
    if (this.#isRead) this.#skip(chunk.length)
    else this.#take(chunk)
    return !this.#socket.destroyed
  }

  #skip(length: number): void {
    this.#behind += length
    if (this.#behind > mostBehind) this.#socket.destroy()
  }

  #take(chunk: Buffer): void {
    const before = this.#head.length
    this.#head += chunk.toString('latin1', 0, longestHead + 1 - before)
    const end = this.#head.indexOf('\r\n\r\n', Math.max(0, before - 3))
    if (end >= 0) void this.#respond(readRequest(this.#head.slice(0, end)) ?? notHttp)
    else if (this.#head.length > longestHead) void this.#respond(tooLong)
    // TLS, for example, or lines that end otherwise, may never come to an empty line.
    else if (!/^[A-Z]/.test(this.#head) || /(^|[^\r])\n/.test(this.#head)) void this.#respond(notHttp)
  }

  async #respond(request: Request | Answer): Promise<void> {
    this.#isRead = true
    this.#head = ''
    clearTimeout(this.#timer)
    this.#timer = this.#end(2 * this.#options.timeout)
    if ('code' in request) this.#answer(request)
    else this.#answer(await this.#options.respond(request), request.method === 'HEAD')
  }

  #answer({ code, contentType, body, headers }: Answer, isHead = false): void {
    if (this.#socket.destroyed) return
    const lines = Object.entries({
      Date: new Date(wallTime(performance.now())).toUTCString(),
      'Content-Type': contentType,
      'Content-Length': Buffer.byteLength(body),
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      Connection: 'close',
      ...headers,
    }).map(([name, value]) => `${name}: ${value}\r\n`)
    this.#socket.cork()
    this.#socket.write(`HTTP/1.1 ${code} ${phrases[code]}\r\n${lines.join('')}\r\n`)
    this.#socket.end(isHead ? '' : body)
    this.#socket.uncork()
    this.#options.answered()
  }

  #end(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#socket.destroy(), ms)
  }
}

export function plain(code: Answer['code'], line: string, headers: Answer['headers'] = {}): Answer {
  return { code, contentType: 'text/plain; charset=utf-8', body: `${line}\n`, headers }
}

const notHttp = plain(400, 'This is no request of HTTP/1.')
const tooLong = plain(431, `A request without its body has at most ${longestHead} bytes.`)
