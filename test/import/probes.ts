import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** Clients and back ends of the comparison with HAProxy; both run in a host of the lab, in its agent. */

/** What one client does, and what becomes of it. */
export interface Probe {
  /** ADDRESS:PORT. */
  readonly to: string
  /** The address that it connects from. */
  readonly from?: string
  /** What it says; its back end answers what it saw. Nothing for a client that waits. */
  readonly say?: Buffer | string
  /** Milliseconds before it says it; else at once. */
  readonly waits?: number
  /** It ends its direction behind that. */
  readonly ends?: boolean
  /** So many clients, one after the other; else one. */
  readonly times?: number
}

/** The back ends, on 127.1.0.1 to 127.1.0.3: what their port makes of a client. */
export const backEnd = {
  /** Tells who it is and which header it got, once the client has said its word, and closes. */
  tells: 7000,
  /** The same, as the second port of a range. */
  alsoTells: 7101,
  /** The same, 1.5 s later. */
  isSlow: 7010,
  /** Speaks first. */
  greets: 7020,
  /** Says nothing and closes nothing. */
  holds: 7030,
  /** Answers when the client's direction ends. */
  answersEnd: 7040,
  /** Nobody listens there. */
  isAbsent: 7999,
} as const

/** The last thing that a client says. */
const end = 'END\n'

export async function serve(): Promise<void> {
  const { tells, alsoTells, isSlow, greets, holds, answersEnd } = backEnd
  const ports: readonly (readonly [number, (socket: Socket) => void])[] = [
    [tells, socket => tell(socket, 0)],
    [alsoTells, socket => tell(socket, 0)],
    [isSlow, socket => tell(socket, 1500)],
    [greets, socket => socket.end(`${place(socket)} greets`)],
    [answersEnd, socket => socket.resume().on('end', () => socket.end('the end'))],
    [holds, socket => socket.resume()],
  ]
  for (const host of ['127.1.0.1', '127.1.0.2', '127.1.0.3'])
    for (const [port, serveOne] of ports) {
      const server = createServer({ allowHalfOpen: true }, socket => {
        socket.on('error', () => {})
        serveOne(socket)
      })
      await once(server.listen(port, host), 'listening')
    }
}

function tell(socket: Socket, delay: number): void {
  let said = Buffer.alloc(0)
  socket.on('data', chunk => {
    said = Buffer.concat([said, chunk])
    if (said.subarray(-end.length).toString('latin1') !== end) return
    setTimeout(() => socket.end(`${place(socket)} ${headerOf(said)}`), delay)
  })
}

function place({ localAddress = '', localPort }: Socket): string {
  return `${localAddress}:${localPort}`
}

/** The PROXY header in front, without the client's port: `v2 127.0.0.1 127.0.0.2:80`. */
function headerOf(bytes: Buffer): string {
  const line = bytes.toString('latin1')
  const v1 = /^PROXY (TCP[46]|UNKNOWN)(?: (\S+) (\S+) \d+ (\d+))?/.exec(line)
  if (v1 !== null) return v1[1] === 'UNKNOWN' ? 'v1 unknown' : `v1 ${v1[2]} ${v1[3]}:${v1[4]}`
  if (!line.startsWith('\r\n\r\n\0\r\nQUIT\n')) return 'without a header'
  const family = bytes[13]
  if (bytes[12] === 0x20) return 'v2 local'
  const width = family === 0x11 ? 4 : 16
  const address = (at: number) => {
    const part = bytes.subarray(16 + at, 16 + at + width)
    return width === 4 ? part.join('.') : part.toString('hex')
  }
  return `v2 ${address(0)} ${address(width)}:${bytes.readUInt16BE(16 + 2 * width + 2)}`
}

/** What became of one client. */
export interface Answer {
  /** What it read; `no answer` without a word, be it refused, closed or reset. */
  readonly heard: string
  /** Milliseconds from the connect to the end. */
  readonly ms: number
}

export async function ask(probe: Probe): Promise<Answer> {
  const from = performance.now()
  const answers: string[] = []
  for (let i = 0; i < (probe.times ?? 1); i++) answers.push(await askOnce(probe))
  return { heard: answers.join(', '), ms: Math.round(performance.now() - from) }
}

async function askOnce({ to, from, say, waits, ends }: Probe): Promise<string> {
  const at = to.lastIndexOf(':')
  const socket = connect({
    host: to.slice(0, at).replace(/^\[|\]$/g, ''),
    port: Number(to.slice(at + 1)),
    ...(from !== undefined && { localAddress: from }),
    allowHalfOpen: true,
  })
  let heard = ''
  socket.setEncoding('latin1')
  socket.on('data', text => {
    heard += text
  })
  socket.on('error', () => {})
  socket.on('end', () => socket.end())
  if (waits !== undefined) await sleep(waits)
  if (say !== undefined) {
    socket.write(say)
    socket.write(end)
  }
  if (ends) socket.end()
  await new Promise(resolve => socket.once('close', resolve))
  return heard || 'no answer'
}
