import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import type { Tools } from '../lab/agent.ts'
import type { Host, Running } from '../lab/lab.ts'

/** What was seen while something ran. */
export interface Seen {
  /** Milliseconds of good new connections, from `connect` to the echo of a byte: the 99th of 100. */
  readonly newConnection: number
  /** Good connections, and those of them that failed. */
  readonly connections: number
  readonly failed: number
  /**
   * The slowest answer of /livez, in milliseconds, without the time for which the victim, or who asked, wanted a processor
   * that others had: what else runs on this machine is no attack.
   */
  readonly livez: number
  /** The most at any moment: MiB of resident memory, open files. */
  readonly memory: number
  readonly descriptors: number
  /** Written to the log meanwhile. */
  readonly lines: number
  readonly logBytes: number
}

/** Milliseconds between two looks at the victim, and between two questions of a good client and of /livez. */
const lookEvery = 50
const askEvery = 20

/** Measures a victim from outside, and its good clients beside. */
export class Watch {
  readonly #victim: Running
  readonly #gateway: Host
  readonly #good: Host

  constructor({ victim, gateway, good }: { victim: Running; gateway: Host; good: Host }) {
    this.#victim = victim
    this.#gateway = gateway
    this.#good = good
  }

  /** MiB of resident memory. */
  get memory(): number {
    return (
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${this.#victim.pid}/status`, 'utf8'))![1]) / 1024
    )
  }

  /** Files that it holds open. */
  get descriptors(): number {
    return readdirSync(`/proc/${this.#victim.pid}/fd`).length
  }

  /** For so many milliseconds with nothing beside the good clients. */
  async alone(ms = 2000): Promise<Seen> {
    return this.during(() => new Promise(resolve => setTimeout(resolve, ms)))
  }

  /** While this runs. */
  async during(attack: () => Promise<unknown>): Promise<Seen> {
    const { lines } = this.#victim
    const firstLine = lines.length
    let [memory, descriptors] = [this.memory, this.descriptors]
    const look = setInterval(() => {
      memory = Math.max(memory, this.memory)
      descriptors = Math.max(descriptors, this.descriptors)
    }, lookEvery)
    const connecting = { host: '192.0.2.1', port: 9000, every: askEvery }
    await Promise.all([
      this.#good.run(connect, connecting),
      this.#gateway.run(askLivez, { every: askEvery, pid: this.#victim.pid }),
    ])
    try {
      await attack()
    } finally {
      clearInterval(look)
    }
    const [connections, livez] = await Promise.all([
      this.#good.run(finish, 'connecting'),
      this.#gateway.run(finish, 'livez'),
    ])
    const written = lines.slice(firstLine)
    return {
      newConnection: percentile(connections.took, 0.99),
      connections: connections.took.length + connections.failed,
      failed: connections.failed,
      livez: livez.failed > 0 ? Number.POSITIVE_INFINITY : Math.max(...livez.took),
      memory,
      descriptors,
      lines: written.length,
      logBytes: written.reduce((sum, line) => sum + line.length + 1, 0),
    }
  }

  /**
   * Waits until memory and descriptors are within a tenth of what they were, at most 30 s; gives what they are then.
   * @param beside MiB that the runtime may keep as well; Infinity: memory is not looked at.
   */
  async settled(
    before: Pick<Seen, 'memory' | 'descriptors'>,
    beside = 0,
  ): Promise<{ memory: number; descriptors: number }> {
    const deadline = performance.now() + 30_000
    const isBack = () =>
      this.memory <= before.memory * 1.1 + beside && this.descriptors <= before.descriptors * 1.1
    while (!isBack() && performance.now() < deadline) await new Promise(resolve => setTimeout(resolve, 100))
    return { memory: this.memory, descriptors: this.descriptors }
  }
}

/** Says what was seen, for people. */
export function tell(t: Test, what: string, seen: Seen): void {
  const { newConnection, connections, failed, livez, memory, descriptors, lines, logBytes } = seen
  t.comment(
    `${what}: new connection p99 ${newConnection.toFixed(1)} ms (${connections}, ${failed} failed), /livez at most ` +
      `${livez.toFixed(0)} ms, ${memory.toFixed(0)} MiB, ${descriptors} files, ${lines} lines (${logBytes} bytes)`,
  )
}

/** What no attack may do to others. Times need quiet, so a machine that is busy with other tests has some slack. */
export function unharmed(t: Test, alone: Seen, beside: Seen): void {
  t.equal(beside.failed, 0, 'no good connection is refused')
  t.ok(beside.connections > 0, `${beside.connections} good connections came`)
  t.ok(beside.livez <= 250, `/livez answers within ${beside.livez.toFixed(0)} ms`)
  const most = Math.max(3 * alone.newConnection, 100)
  t.ok(
    beside.newConnection <= most,
    `p99 of a new connection: ${beside.newConnection.toFixed(1)} ms, of at most ${most.toFixed(1)}`,
  )
}

/** Asks one thing after the other, and notes how long each took, until `finish`. Runs in an agent, with what follows. */
interface Asked {
  readonly took: number[]
  failed: number
}

async function connect(
  { host, port, every }: { host: string; port: number; every: number },
  { state }: Tools,
): Promise<void> {
  const net = await import('node:net')
  const asked: Asked = { took: [], failed: 0 }
  let isOver = false
  const once = () =>
    new Promise<void>((resolve, reject) => {
      const socket = net.connect({ host, port, autoSelectFamily: false })
      socket.setTimeout(15_000, () => socket.destroy(new Error('no answer')))
      socket.on('error', reject)
      socket.on('end', () => reject(new Error('ended')))
      socket.on('data', () => {
        socket.destroy()
        resolve()
      })
      socket.write('x')
    })
  const run = async () => {
    while (!isOver) {
      const began = performance.now()
      try {
        await once()
        asked.took.push(performance.now() - began)
      } catch {
        asked.failed++
      }
      await new Promise(resolve => setTimeout(resolve, every))
    }
  }
  const running = run()
  state.set('connecting', async () => {
    isOver = true
    await running
    return asked
  })
}

/** Each time over a connection of its own, as a probe comes. */
async function askLivez({ every, pid }: { every: number; pid: number }, { state }: Tools): Promise<void> {
  const { readFileSync } = await import('node:fs')
  /** Milliseconds that the main threads of both have waited for a processor; proc(5), schedstat. */
  const waited = () =>
    [pid, process.pid].reduce((sum, pid) => {
      const nanoseconds = readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]
      return sum + Number(nanoseconds) / 1e6
    }, 0)
  const http = await import('node:http')
  const asked: Asked = { took: [], failed: 0 }
  let isOver = false
  const once = () =>
    new Promise<void>((resolve, reject) => {
      const request = http.get(
        { host: '127.0.0.1', port: 9586, path: '/livez', agent: false, timeout: 15_000 },
        answer => {
          answer.resume()
          answer.on('end', () => (answer.statusCode === 200 ? resolve() : reject(new Error('not live'))))
        },
      )
      request.on('timeout', () => request.destroy(new Error('no answer')))
      request.on('error', reject)
    })
  const run = async () => {
    while (!isOver) {
      const [began, waitedBefore] = [performance.now(), waited()]
      try {
        await once()
        asked.took.push(performance.now() - began - (waited() - waitedBefore))
      } catch {
        asked.failed++
      }
      await new Promise(resolve => setTimeout(resolve, every))
    }
  }
  const running = run()
  state.set('livez', async () => {
    isOver = true
    await running
    return asked
  })
}

async function finish(name: string, { state }: Tools): Promise<Asked> {
  return (state.get(name) as () => Promise<Asked>)()
}

function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.POSITIVE_INFINITY
}
