import type { Tools } from '../lab/agent.ts'
import { address, type Topology } from './topology.ts'

/**
 * A download through both ends that runs until it is told to finish: from a TCP server on the cluster's
 * 127.0.0.1:`port` to the client, who connects to the gateway's `port`. It goes on while a test breaks things.
 */
export class Download {
  readonly #world: Topology
  readonly #port: number
  readonly #sent: Promise<Digest>
  readonly #received: Promise<Digest>

  private constructor(world: Topology, port: number) {
    this.#world = world
    this.#port = port
    this.#sent = world.cluster.run(send, port)
    this.#received = world.client.run(receive, { host: address.gateway[4], port })
    // Some tests cut it off and never look.
    this.#sent.catch(() => {})
  }

  /** Resolves once it runs. */
  static async begin(world: Topology, port: number): Promise<Download> {
    await world.cluster.run((port, { listen }) => listen(port), port)
    await world.client.run((port, { state }) => void state.delete(`download ${port}`), port)
    const download = new Download(world, port)
    await download.moves()
    return download
  }

  /** Resolves when the client has received another 4 MiB; rejects when nothing comes for `patience` milliseconds. */
  async moves(patience = 30_000): Promise<void> {
    await this.#world.client.run(receivedMore, { port: this.#port, bytes: 4 << 20, patience })
  }

  /** Tells the server to end it, and gives what each side counted. */
  async finish(): Promise<{ sent: Digest; received: Digest }> {
    await this.#world.cluster.run((port, { state }) => void state.set(`finish ${port}`, true), this.#port)
    return { sent: await this.#sent, received: await this.#received }
  }

  /** How it ended for the client: `complete`, or the error's code. */
  async end(): Promise<string> {
    return (await this.#received).end
  }
}

interface Digest {
  readonly bytes: number
  readonly sha256: string
  readonly end: string
}

// What follows is sent to the hosts as text: each function stands alone.

/** Different bytes all along, 64 KiB a millisecond: fast enough to keep every buffer on the way full. */
async function send(port: number, { openSocket, state }: Tools) {
  const { createCipheriv, createHash } = await import('node:crypto')
  const {
    EventEmitter: { once },
  } = await import('node:events')
  const { setTimeout: sleep } = await import('node:timers/promises')
  state.delete(`finish ${port}`)
  const socket = await openSocket({ listen: port })
  let end = 'complete'
  socket.on('error', error => {
    end = (error as NodeJS.ErrnoException).code!
  })
  const closed = once(socket, 'close').catch(() => {})
  const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const zeros = Buffer.alloc(65_536)
  const hash = createHash('sha256')
  let bytes = 0
  while (!state.has(`finish ${port}`) && !socket.destroyed) {
    const chunk = stream.update(zeros)
    hash.update(chunk)
    bytes += chunk.length
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => {}), closed])
    await sleep(1)
  }
  socket.resume().end()
  await closed
  return { bytes, sha256: hash.digest('hex'), end }
}

async function receive({ host, port }: { host: string; port: number }, { openSocket, state }: Tools) {
  const { createHash } = await import('node:crypto')
  const { EventEmitter } = await import('node:events')
  const progress = new EventEmitter()
  const download = { bytes: 0, progress }
  state.set(`download ${port}`, download)
  const socket = await openSocket({ host, port })
  const hash = createHash('sha256')
  socket.on('data', chunk => {
    hash.update(chunk)
    download.bytes += chunk.length
    progress.emit('moved')
  })
  const end = await new Promise<string>(resolve => {
    socket.once('end', () => resolve('complete'))
    socket.once('error', error => resolve((error as NodeJS.ErrnoException).code!))
  })
  socket.end()
  progress.emit('ended')
  return { bytes: download.bytes, sha256: hash.digest('hex'), end }
}

async function receivedMore(
  { port, bytes, patience }: { port: number; bytes: number; patience: number },
  { state }: Tools,
) {
  while (!state.has(`download ${port}`)) await new Promise(resolve => setTimeout(resolve, 10))
  const { bytes: before } = state.get(`download ${port}`) as { bytes: number }
  for (;;) {
    const download = state.get(`download ${port}`) as {
      bytes: number
      progress: NodeJS.EventEmitter
    }
    if (download.bytes >= before + bytes) return
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`stuck at ${download.bytes} bytes`)), patience)
      const settle = () => {
        clearTimeout(late)
        download.progress.off('moved', settle).off('ended', over)
        resolve()
      }
      const over = () => {
        clearTimeout(late)
        reject(new Error('the download has ended'))
      }
      download.progress.on('moved', settle).on('ended', over)
    })
  }
}
