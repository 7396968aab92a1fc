import { parseServerName } from '../config/server-name.ts'

/**
 * The TLS server name that a client asks for, read from its first bytes, of which none is changed. Nothing is decrypted
 * and nothing is negotiated: whether the hello is any good is for the target to say, here only its lengths must add up.
 *
 * RFC 8446 sections 4 (messages), 4.1.2 (ClientHello), 4.2 (extensions) and 5.1 (records); RFC 6066 section 3
 * (server_name). With Encrypted Client Hello it is the outer name, the one that is there to be seen (RFC 9849).
 */

// Specification.
const handshake = 22
const clientHello = 1
const serverName = 0
const hostName = 0
const greatestFragment = 16_384
const randomLength = 32

// Limits of this implementation: a browser's hello has 1.7 KiB with a post-quantum key share in it.
const greatestMessage = 16_384
/** A hello in pieces of one byte has six times its size. */
const greatestRead = 2 * greatestMessage

/** What the first bytes of a client were. */
export type Hello =
  | { readonly isTls: true; readonly name: string | undefined }
  /** They are no ClientHello, and no more of them will make it one. */
  | { readonly isTls: false; readonly detail: string }

class Malformed extends Error {}

/** Reads one client's bytes in whatever pieces they come. */
export class ClientHelloReader {
  #read = 0
  /** Of the record's header: bytes so far, and the length that its last two tell. */
  #headerAt = 0
  #fragmentLeft = 0
  /** Of the message: bytes so far, the length that its bytes 1 to 3 tell, and what comes behind them. */
  #messageAt = 0
  #length = 0
  #body = Buffer.alloc(0)

  /** `undefined`: more is needed. */
  read(chunk: Buffer): Hello | undefined {
    try {
      return this.#consume(chunk)
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      return { isTls: false, detail: error.message }
    }
  }

  #consume(chunk: Buffer): Hello | undefined {
    const start = this.#read
    for (let at = 0; at < chunk.length; ) {
      this.#read = start + at
      if (this.#read >= greatestRead) throw new Malformed(`no whole ClientHello in ${greatestRead} bytes`)
      if (this.#headerAt < 5) this.#header(chunk[at++]!)
      else if (this.#messageAt < 4) {
        this.#prefix(chunk[at++]!)
        this.#took(1)
      } else {
        const copied = chunk.copy(this.#body, this.#messageAt - 4, at, at + this.#fragmentLeft)
        at += copied
        this.#messageAt += copied
        this.#took(copied)
      }
      if (this.#messageAt >= 4 && this.#messageAt === 4 + this.#length)
        return { isTls: true, name: nameOf(this.#body) }
    }
    this.#read = start + chunk.length
    return undefined
  }

  /** Section 5.1: type, version, length. */
  #header(byte: number): void {
    const at = this.#headerAt++
    if (at === 0 && byte !== handshake) throw this.#fault(`a record of type ${byte}`)
    if (at === 1 && byte !== 3) throw this.#fault(`a record of version ${byte}`)
    if (at < 3) return
    this.#fragmentLeft = this.#fragmentLeft * 256 + byte
    if (at === 3) return
    if (this.#fragmentLeft === 0 || this.#fragmentLeft > greatestFragment)
      throw this.#fault(`a record of ${this.#fragmentLeft} bytes`)
  }

  /** Section 4: type, length. */
  #prefix(byte: number): void {
    if (this.#messageAt++ === 0) {
      if (byte !== clientHello) throw this.#fault(`a message of type ${byte}`)
      return
    }
    this.#length = this.#length * 256 + byte
    if (this.#messageAt < 4) return
    if (this.#length + 4 > greatestMessage) throw this.#fault(`a ClientHello of ${this.#length} bytes`)
    this.#body = Buffer.allocUnsafe(this.#length)
  }

  #took(bytes: number): void {
    this.#fragmentLeft -= bytes
    if (this.#fragmentLeft === 0) this.#headerAt = 0
  }

  #fault(what: string): Malformed {
    return new Malformed(`${what} at byte ${this.#read}`)
  }
}

/** Section 4.1.2. Before TLS 1.3 a hello could do without extensions. */
function nameOf(body: Buffer): string | undefined {
  const hello = new Cursor(body)
  hello.skip(2 + randomLength)
  hello.vector(1, 0, 32) // legacy_session_id
  if (hello.vector(2, 2, 65_534).length % 2 !== 0) throw new Malformed('half a cipher suite')
  hello.vector(1, 1, 255) // legacy_compression_methods
  if (hello.isAtEnd) return undefined
  const extensions = new Cursor(hello.vector(2, 0, 65_535))
  if (!hello.isAtEnd) throw new Malformed('bytes behind the extensions')
  let names: Buffer | undefined
  while (!extensions.isAtEnd) {
    const type = extensions.number(2)
    const data = extensions.vector(2, 0, 65_535)
    if (type !== serverName) continue
    // Section 4.2: none may come twice. Which one the target would take, nobody knows.
    if (names !== undefined) throw new Malformed('two server_name extensions')
    names = data
  }
  return names && hostNameOf(names)
}

/** RFC 6066 section 3: at most one name of a type. */
function hostNameOf(data: Buffer): string | undefined {
  const extension = new Cursor(data)
  const list = new Cursor(extension.vector(2, 1, 65_535))
  if (!extension.isAtEnd) throw new Malformed('bytes behind the server names')
  let name: Buffer | undefined
  while (!list.isAtEnd) {
    const type = list.number(1)
    const value = list.vector(2, 1, 65_535)
    if (type !== hostName) continue
    if (name !== undefined) throw new Malformed('two host names')
    name = value
  }
  // An address, a NUL in the middle, a name too long: not a name that anything is routed by.
  return name && parseServerName(name.toString('latin1'))
}

/** Reads forward, never beyond the end. */
class Cursor {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  skip(bytes: number): Buffer {
    const from = this.#at
    this.#at += bytes
    if (this.#at > this.#bytes.length) throw new Malformed('a ClientHello whose lengths do not add up')
    return this.#bytes.subarray(from, this.#at)
  }

  number(width: 1 | 2): number {
    return this.skip(width).readUIntBE(0, width)
  }

  /** A length, and so many bytes: RFC 8446 section 3.4. */
  vector(width: 1 | 2, least: number, most: number): Buffer {
    const length = this.number(width)
    if (length < least || length > most) throw new Malformed(`a vector of ${length} bytes`)
    return this.skip(length)
  }
}
