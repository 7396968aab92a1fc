import type { Socket } from 'node:net'
import { encodeProxyV1, encodeProxyV2, type Tlv } from '../proxy/proxy-header.ts'
import { tlvType } from '../proxy/tlv.ts'
import { dialledEnds, type Ends } from '../sockets/ends.ts'
import { reach } from './reach.ts'

/** What a target does with a connection, by the bytes that this begins with. */
export interface Reaction {
  /** How many bytes it has sent. */
  readonly bytes: number
  /** It has closed the connection, or reset it. */
  readonly hasEnded: boolean
}

/** Of one target, to five connections. */
export interface Reactions {
  /** To one that sends nothing. */
  readonly silence: Reaction
  /** To empty lines. */
  readonly lines: Reaction
  /** To the header of a client, without what is optional in it. */
  readonly header: Reaction
  /** To that header with one letter changed, which makes it none. */
  readonly broken: Reaction
  /** To a header as long as the forward may send. */
  readonly long: Reaction
}

export type HeaderVerdict =
  /** It takes the header. */
  | 'fits'
  /** It takes a short header, and not one as long as the forward may send. */
  | 'too-long'
  /** It takes the header for a broken request. */
  | 'unexpected'
  /** It requires a header, and the forward sends none. */
  | 'missing'
  /** It does without a header, and the forward sends none. */
  | 'none'
  /** It closes without a word, behind the header too: what displeases it cannot be told. */
  | 'closes'
  /** It does the same with a header and with what is none. */
  | 'unknown'

/** Milliseconds that a target has to show what it makes of the first bytes: a mail server starts a process first. */
const patience = 1000

/**
 * Goes out once a target has spoken. Exim greets whatever it was sent; that it missed a header it says of the first
 * command.
 */
const emptyLine = '\r\n'

/** Harmless before a request, no beginning of a header, and as many bytes as a short one: some wait for those. */
const emptyLines = Buffer.alloc(32, '\n')

/**
 * Asks a target what it makes of the header that a forward sends, without a request: at most a client connects from here
 * and says nothing.
 * @param longest bytes of the longest header of v2 that the forward may send.
 */
export async function reactionsOf(
  host: string,
  port: number,
  version: 'v1' | 'v2',
  longest: number,
): Promise<Reactions | { readonly error: string }> {
  const short = (socket: Socket) => (version === 'v1' ? lineOf(socket) : headerOf(socket, 0))
  const [silence, lines, header, broken, long] = await Promise.all([
    reaction(host, port, () => Buffer.alloc(0)),
    reaction(host, port, () => emptyLines),
    reaction(host, port, short),
    reaction(host, port, socket => spoilt(short(socket))),
    reaction(host, port, socket => (version === 'v1' ? lineOf(socket) : headerOf(socket, longest))),
  ])
  for (const each of [silence, lines, header, broken, long]) if ('error' in each) return each
  return { silence, lines, header, broken, long } as Reactions
}

/** What the reactions of a target say about the header that a forward sends. */
export function judge(sendsHeader: boolean, reactions: Reactions): HeaderVerdict {
  const { silence, lines, header, broken, long } = reactions
  if (silence.hasEnded) return 'closes'
  const speaksFirst = silence.bytes > 0
  const speaksUp = header.bytes > silence.bytes
  // It goes on behind a header, or says something, and does not do so behind what is none.
  const isAtEase = speaksFirst ? isSame(header, silence) : speaksUp || !header.hasEnded
  const isKnown = isAtEase && !isSame(header, broken)
  if (isKnown && sendsHeader) return isSame(header, long) ? 'fits' : 'too-long'
  if (isKnown) {
    const isRequired = (lines.hasEnded && lines.bytes === 0) || (speaksUp && !speaksFirst)
    return isRequired ? 'missing' : 'none'
  }
  // One that speaks first has shown before it ended that it is not the connection which displeases it.
  if (speaksUp || (header.hasEnded && speaksFirst)) return sendsHeader ? 'unexpected' : 'none'
  return header.hasEnded ? 'closes' : 'unknown'
}

/** What is said before a connection is closed may repeat what came, or tell the time. */
function isSame(one: Reaction, other: Reaction): boolean {
  if (one.hasEnded !== other.hasEnded) return false
  return one.hasEnded ? one.bytes > 0 === other.bytes > 0 : one.bytes === other.bytes
}

/** As of a client at this host's address. Headers differ in nothing that a target could answer, line by line. */
function endsOf(socket: Socket): Ends {
  const { source, destination } = dialledEnds(socket)
  return { source: { ...source, port: 40_000 }, destination }
}

function lineOf(socket: Socket): Buffer {
  const { source, destination } = endsOf(socket)
  return encodeProxyV1(source, destination)
}

/** With a UNIQUE_ID, and filled up to so many bytes. */
function headerOf(socket: Socket, length: number): Buffer {
  const { source, destination } = endsOf(socket)
  const id: Tlv = { type: tlvType.UNIQUE_ID, value: Buffer.from('wg-punchhole doc') }
  const { bytes } = encodeProxyV2(source, destination, [id])
  const room = length - bytes.length - 3
  if (room < 0) return bytes
  // At most 1024 bytes of one are sent.
  const fill = [Math.min(room, 1024), room - 1027].filter(size => size >= 0)
  const noops = fill.map(size => ({ type: tlvType.NOOP, value: Buffer.alloc(size) }))
  return encodeProxyV2(source, destination, [id, ...noops]).bytes
}

/** The same bytes but one, which belongs to the signature of v2, or to PROXY of v1. It ends no line, nor begins one. */
function spoilt(header: Buffer): Buffer {
  header[4] = 'X'.charCodeAt(0)
  return header
}

async function reaction(
  host: string,
  port: number,
  first: (socket: Socket) => Buffer,
): Promise<Reaction | { readonly error: string }> {
  const reached = await reach(host, port)
  if ('error' in reached) return reached
  const { socket } = reached
  socket.write(first(socket))
  return new Promise(resolve => {
    let bytes = 0
    const timer = setTimeout(() => settle(false), patience)
    const settle = (hasEnded: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ bytes, hasEnded })
    }
    socket.on('data', chunk => {
      if (bytes === 0) socket.write(emptyLine)
      bytes += chunk.length
    })
    socket.on('end', () => settle(true))
    socket.on('error', () => settle(true))
  })
}
