import {
  type OnReadOpts,
  type Server,
  Socket,
  type SocketConstructorOpts,
  type TcpSocketConnectOpts,
} from 'node:net'
import { small, write } from './writer.ts'

/**
 * Static read buffers (`onread` of net.connect): no buffer is allocated for a read, which makes bulk up to twice as cheap.
 * Sockets whose reads are short share one buffer; one that reads a lot at a time gets its own, for as long as it does.
 */

/** Who takes what a socket reads: state on the socket spares a closure per connection. */
export interface Sink {
  /**
   * Returns whether to go on reading. `chunk` is overwritten by the next read of any socket when `isShared`: what of it
   * is kept must be copied. Otherwise it stays as it is when the sink calls `pin`.
   */
  read(chunk: Buffer, isShared: boolean, socket: ReadSocket): boolean
  /** Its socket reads all the time, and keeps a buffer of its own. */
  readonly isBusy?: true
}

export interface ReadSocket extends Socket {
  sink?: Sink
  /** Its own buffer, while it has one. */
  readBuffer?: Buffer | undefined
  /** It has had one, and tells when it is closed. */
  hasOwned?: true
}

const sharedSize = 65_536
/** Bytes of one read that make a socket worth a buffer of its own, and that no longer do. */
const manyBytes = 16_384
const fewBytes = 4096
/** Bytes. Larger reads are fewer, but leave the processor's cache. */
export const ownSize = 262_144
/** Sockets with a buffer of their own, at most; further ones share one, and what waits of it is copied. */
const mostOwn = 256
let own = 0

const shared = Buffer.allocUnsafeSlow(sharedSize)
/**
 * Bytes of the memory that Node cuts small copies from: one that is kept, a message that waits or a header's TLV, keeps all
 * of it. Node's own 64 KiB are too many for each connection.
 */
Buffer.poolSize = 8192
/** What `buffer` answers next, nothing where the buffer stays: Node asks right after `callback`, in the same read. */
let next: Buffer | undefined = shared
/** What the sink says of the chunk that it reads: it may be referenced still at the next read. */
let isPinned = false
/** A sink reads, and what it reads is not shared. */
let mayBePinned = false
/** The next read is to leave its buffer alone, and needs none of its own: the socket that it goes to is slow. */
let isBehind = false
/** Should reading stop now, it stops until the chunk is written: its buffer can be used again then. */
let isPassed = false

const onread: OnReadOpts = {
  buffer() {
    const buffer = next
    next = shared
    return buffer!
  },
  // Node calls it as a method of the socket.
  callback(this: ReadSocket, length: number, bytes: Buffer) {
    const { sink } = this
    const isShared = bytes === shared
    isPinned = isBehind = isPassed = false
    const goOn = take(this, bytes.subarray(0, length), isShared)
    const isBusy = sink?.isBusy || length > (isShared ? manyBytes : fewBytes)
    // One that waits needs none until it goes on.
    if (!isBusy || isBehind || !(goOn || isPassed || sink?.isBusy)) release(this)
    else if ((isShared || isPinned) && mayOwn(this)) this.readBuffer = unpinned(this.readBuffer, length)
    const buffer = this.readBuffer ?? shared
    next = buffer === bytes ? undefined : buffer
    return goOn
  },
} as OnReadOpts & ThisType<ReadSocket>

/** A sink reads, and what is to be done once it has. */
let isReading = false
const tasks: (() => void)[] = []

/**
 * Calls `task` once the sink that reads has read, before anything else happens; where none reads, like process.nextTick.
 * Several are called in no order. It must not throw.
 */
export function afterRead(task: () => void): void {
  if (isReading) tasks.push(task)
  else process.nextTick(task)
}

/** Lets a socket's sink read a chunk. One that throws, a fault in one connection, holds up no task of another one's. */
function take(socket: ReadSocket, chunk: Buffer, isShared: boolean): boolean {
  isReading = true
  mayBePinned = !isShared
  try {
    return socket.sink?.read(chunk, isShared, socket) ?? false
  } finally {
    isReading = mayBePinned = false
    while (tasks.length > 0) tasks.pop()!()
  }
}

/** A sink keeps bytes of the chunk that it reads, not shared: pending writes refer to memory, not to a copy. */
export function pin(): void {
  isPinned = true
}

/** Whether a sink may keep bytes of a chunk like this. Of one that it goes on with later it has to copy what it keeps. */
export function mayPin(): boolean {
  return mayBePinned
}

/**
 * Writes what a socket has read, while its sink reads it, to another one. Returns whether to go on reading; where not,
 * nothing is to be read before the other emits `drain`.
 */
export function pass(chunk: Buffer, isShared: boolean, to: Socket): boolean {
  isPassed = true
  if (to.writableLength > 0) return passBehind(chunk, to)
  const goOn = chunk.length <= small ? write(to, chunk) : to.write(isShared ? Buffer.from(chunk) : chunk)
  isBehind = goOn && to.writableLength > 0
  return goOn
}

/**
 * Behind bytes that wait. A copy that costs its length: the chunk would keep a whole read buffer. And nothing more for now:
 * Node would take a lot of small writes, each of which costs more than it carries, and not say when it has written them.
 */
function passBehind(chunk: Buffer, to: Socket): boolean {
  isBehind = true
  to.write(exactCopy(chunk), () => {
    if (!to.destroyed && to.writableLength === 0) to.emit('drain')
  })
  return false
}

/** One that shares its memory with nothing else. */
export function exactCopy(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}

/**
 * Where the next read may go without touching the chunk that is pinned, the first `length` bytes of `buffer`: behind it, or
 * into a new buffer, where less than the shared one's size would be left. A socket that has only read into the shared one has
 * no `buffer` yet.
 */
function unpinned(buffer: Buffer | undefined, length: number): Buffer {
  const isEnough = buffer !== undefined && buffer.length - length >= sharedSize
  return isEnough ? buffer.subarray(length) : Buffer.allocUnsafeSlow(ownSize)
}

/** Whether a socket has, or may have, a buffer of its own. */
function mayOwn(socket: ReadSocket): boolean {
  if (socket.readBuffer !== undefined) return true
  if (own >= mostOwn && !socket.sink?.isBusy) return false
  own++
  if (!socket.hasOwned) {
    socket.hasOwned = true
    socket.once('close', onClose)
  }
  return true
}

function release(socket: ReadSocket): void {
  if (socket.readBuffer === undefined) return
  own--
  socket.readBuffer = undefined
}

function onClose(this: ReadSocket): void {
  release(this)
}

/**
 * Options of every connection, accepted or dialled. Keepalive finds peers that vanished without a word; it begins late
 * because Node gives up ten seconds after the first probe, and a tunnel may need longer to come back.
 */
export const socketOptions = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 300_000,
} as const

/** Options of a dialled connection, to a literal address. It reads into its sink once that is set, and it is resumed. */
export const dialOptions: Omit<TcpSocketConnectOpts, 'port'> & Pick<SocketConstructorOpts, 'onread'> = {
  ...socketOptions,
  // Node's own attempts (happy eyeballs) are for names, and give up on a slow address.
  autoSelectFamily: false,
  onread,
}

/** What net.Server is made of. Its accepted sockets have no option for a static buffer; their constructor has. */
interface Accepting extends Server {
  readonly _handle?: {
    onconnection?(error: number, client: object | undefined): void
    setNoDelay(on: boolean): void
    setKeepAlive(on: boolean, seconds: number): void
  } | null
}

/**
 * Lets the sockets of a listening server read into static buffers, too: each arrives paused, with `socketOptions`, and
 * reads into its sink once it is resumed. On a Node whose inside is another one they arrive as ever, and emit `data`.
 */
export function acceptStatic(server: Server): void {
  const handle = (server as Accepting)._handle
  const accept = handle?.onconnection
  if (handle == null || accept === undefined) return
  const { allowHalfOpen, keepAliveInitialDelay } = socketOptions
  // Linux copies them to each connection that is accepted, which spares five system calls for each.
  handle.setNoDelay(true)
  handle.setKeepAlive(true, keepAliveInitialDelay / 1000)
  handle.onconnection = function (error, client) {
    if (error !== 0 || client === undefined) {
      accept.call(this, error, client)
      return
    }
    const options = { handle: client, allowHalfOpen, manualStart: true, onread }
    const socket = new Socket(options as unknown as SocketConstructorOpts)
    server.emit('connection', socket.pause())
  }
}
