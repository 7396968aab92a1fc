/** Questions of DNS, and headers of PROXY before them, made by hand: nothing here is from src/. */

/** A question of class IN for one name. */
export function question(id: number, name: string, type: 'A' | 'AAAA' | 'TXT'): Buffer {
  const head = [id >> 8, id & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]
  const labels = name.split('.').flatMap(label => [label.length, ...Buffer.from(label)])
  return Buffer.from([...head, ...labels, 0, 0, { A: 1, AAAA: 28, TXT: 16 }[type], 0, 1])
}

/** RFC 1035's RCODE of a reply, and whether it has an answer; undefined: these bytes are no reply to this question. */
export function replyOf(id: number, reply: Buffer): { rcode: number; hasAnswer: boolean } | undefined {
  if (reply.length < 12 || reply.readUInt16BE(0) !== id || (reply[2]! & 0x80) === 0) return undefined
  return { rcode: reply[3]! & 15, hasAnswer: reply.readUInt16BE(6) > 0 }
}

/** The address of the tests' client in bytes, port 12345, and 127.0.0.1 or ::1 with port 53 as where it had sent to. */
const places = {
  4: Buffer.from('cb007107' + '7f000001' + '30390035', 'hex'),
  6: Buffer.from('20010db8000100000000000000000007' + '00000000000000000000000000000001' + '30390035', 'hex'),
} as const

/** A header of version 2: by default PROXY with UDP and the client's address. */
export function header(
  family: 4 | 6 | undefined,
  {
    command = 0x21,
    kind = family === 6 ? 0x22 : family === 4 ? 0x12 : 0,
    tlvs = Buffer.alloc(0),
  }: { command?: number; kind?: number; tlvs?: Buffer } = {},
): Buffer {
  const body = Buffer.concat([family === undefined ? Buffer.alloc(0) : places[family], tlvs])
  const head = Buffer.from([command, kind, body.length >> 8, body.length & 255])
  return Buffer.concat([Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1'), head, body])
}

export function tlv(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value])
}

/** A header for an IPv4 client that is so long: filled up with NOOP. 28, or 31 and more. */
export function headerOfLength(length: number): Buffer {
  return header(4, length === 28 ? {} : { tlvs: tlv(4, Buffer.alloc(length - 31)) })
}

/** Cloudflare's header of 38 bytes, with the same client. */
export function sppHeader(family: 4 | 6): Buffer {
  const sixteen = (bytes: Buffer) =>
    bytes.length === 16 ? bytes : Buffer.concat([Buffer.from('00000000000000000000ffff', 'hex'), bytes])
  const [place, length] = [places[family], family === 4 ? 4 : 16]
  const [client, proxy] = [place.subarray(0, length), place.subarray(length, 2 * length)]
  return Buffer.concat([
    Buffer.from([0x56, 0xec]),
    sixteen(client),
    sixteen(proxy),
    place.subarray(2 * length),
  ])
}
