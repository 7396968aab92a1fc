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
    // A test that has failed looks at neither.
    for (const side of [this.#sent, this.#received]) side.catch(() => {})
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
  async moves(patience = 60_000): Promise<void> {
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
  state.delete(`finish ${port}`)
  const { createCipheriv, createHash } = await import('node:crypto')
  const {
    EventEmitter: { once },
  } = await import('node:events')
  const { setTimeout: sleep } = await import('node:timers/promises')
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
  const progress = Object.assign(new EventTarget(), { bytes: 0, end: '' })
  state.set(`download ${port}`, progress)
  const { createHash } = await import('node:crypto')
  const hash = createHash('sha256')
  const socket = await openSocket({ host, port })
  socket.on('data', chunk => {
    hash.update(chunk)
    progress.bytes += chunk.length
    progress.dispatchEvent(new Event('moved'))
  })
  const end = await new Promise<string>(resolve => {
    socket.once('end', () => resolve('complete'))
    socket.once('error', error => resolve((error as NodeJS.ErrnoException).code!))
  })
  socket.end()
  progress.end = end
  progress.dispatchEvent(new Event('moved'))
  return { bytes: progress.bytes, sha256: hash.digest('hex'), end }
}

async function receivedMore(
  { port, bytes, patience }: { port: number; bytes: number; patience: number },
  { state }: Tools,
) {
  while (!state.has(`download ${port}`)) await new Promise(resolve => setTimeout(resolve, 10))
  const progress = state.get(`download ${port}`) as EventTarget & { bytes: number; end: string }
  const wanted = progress.bytes + bytes
  // TCP tries again ever more rarely while the path is down.
  const late = AbortSignal.timeout(patience)
  while (progress.bytes < wanted) {
    if (progress.end !== '' || late.aborted)
      throw new Error(
        `${progress.bytes} of ${wanted} bytes came, then ${progress.end || `nothing within ${patience} ms`}`,
      )
    await new Promise(resolve => {
      progress.addEventListener('moved', resolve, { once: true })
      late.addEventListener('abort', resolve, { once: true })
    })
  }
}
