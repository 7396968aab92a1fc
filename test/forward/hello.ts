import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { type ConnectionOptions, connect } from 'node:tls'

/** ClientHellos: made by hand, every length in reach, and those of a real TLS library. */

/** A length of `width` bytes, and the bytes. */
export function vector(width: 1 | 2 | 3, ...parts: Buffer[]): Buffer {
  const bytes = Buffer.concat(parts)
  const length = Buffer.alloc(width)
  length.writeUIntBE(bytes.length, 0, width)
  return Buffer.concat([length, bytes])
}

export function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, data)])
}

/** Entries of a ServerNameList; type 0 is a host name. */
export function serverNames(...names: (string | readonly [type: number, name: string])[]): Buffer {
  const entries = names.map(name => (typeof name === 'string' ? ([0, name] as const) : name))
  const list = entries.map(([type, name]) =>
    Buffer.concat([Buffer.from([type]), vector(2, Buffer.from(name, 'latin1'))]),
  )
  return extension(0, vector(2, ...list))
}

/** GREASE, RFC 8701, as browsers send it: empty, and with a byte in it. */
export const grease = [extension(0x3a3a, Buffer.alloc(0)), extension(0xaaaa, Buffer.from([0]))]
/** A key share of X25519MLKEM768, 1216 bytes, and one of X25519. */
export const keyShare = extension(
  51,
  vector(
    2,
    Buffer.from([0x11, 0xec]),
    vector(2, Buffer.alloc(1216, 7)),
    Buffer.from([0x00, 0x1d]),
    vector(2, Buffer.alloc(32, 9)),
  ),
)
/** encrypted_client_hello, the outer one. */
export const encryptedHello = extension(
  0xfe0d,
  Buffer.concat([
    Buffer.from([0, 0, 1, 0, 1, 42]),
    vector(2, Buffer.alloc(32)),
    vector(2, Buffer.alloc(239)),
  ]),
)

/** The message, without a record. `extensions: undefined` leaves their whole vector out. */
export function message(extensions: Buffer[] | undefined, length?: number): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 0xa5),
    vector(1, Buffer.alloc(32, 1)),
    vector(2, Buffer.from([0x13, 0x01, 0xc0, 0x2f])),
    vector(1, Buffer.from([0])),
    extensions === undefined ? Buffer.alloc(0) : vector(2, ...extensions),
  ])
  const head = Buffer.from([1, 0, 0, 0])
  head.writeUIntBE(length ?? body.length, 1, 3)
  return Buffer.concat([head, body])
}

/** The message in records of at most `size` bytes. */
export function records(bytes: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size)
    parts.push(Buffer.from([22, 3, 1]), vector(2, bytes.subarray(at, at + size)))
  return Buffer.concat(parts)
}

export const helloFor = (...names: string[]) => records(message([...grease, serverNames(...names), keyShare]))

/** What Node's OpenSSL sends first with these options. */
export async function realHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const accepted = once(server, 'connection')
  const client = connect({ ...options, socket: connectTcp(port, '127.0.0.1') }).on('error', () => {})
  const [socket] = await accepted
  const parts: Buffer[] = []
  for await (const chunk of socket) {
    parts.push(chunk)
    const bytes = Buffer.concat(parts)
    if (bytes.length >= 5 && bytes.length >= 5 + bytes.readUInt16BE(3)) break
  }
  client.destroy()
  server.close()
  return Buffer.concat(parts)
}
