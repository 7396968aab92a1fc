import { randomInt } from 'node:crypto'
import { readFileSync } from 'node:fs'

/** Milliseconds for which the port of a closed socket rests. What was sent to it may still be on its way. */
const rest = 10_000
/** Ports that are looked at for one that has rested; more does not find one where there is hardly any. */
const most = 16

/**
 * The ports that sockets of datagrams send from. The kernel gives a port that was closed a moment ago to whoever asks next,
 * who then gets what was meant for the one before: the reply to another client. Here ports rest before they are used
 * again, those that were closed longest ago first where none has rested.
 */
export class SourcePorts {
  readonly #first: number
  readonly #last: number
  /** When each was closed; infinite while it is in use. */
  readonly #freedAt = new Float64Array(65_536).fill(Number.NEGATIVE_INFINITY)
  readonly #reserved: (port: number) => boolean

  /** Of the range that the kernel takes such ports from, less what is reserved: see ip-sysctl of the kernel. */
  constructor(read = (name: string) => readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8')) {
    const [range = [1, 0]] = rangesOf(read, 'ip_local_port_range', /(\d+)\s+(\d+)/)
    ;[this.#first, this.#last] = range
    const reserved = rangesOf(read, 'ip_local_reserved_ports', /(\d+)(?:-(\d+))?/g)
    this.#reserved = port => reserved.some(([first, last]) => port >= first && port <= last)
  }

  /** One at random, which somebody else may have; 0, any that the kernel gives, where its range is not known. */
  pick(now: number): number {
    let best = 0
    for (let i = 0; i < most && this.#first <= this.#last; i++) {
      const port = randomInt(this.#first, this.#last + 1)
      if (this.#reserved(port)) continue
      const freedAt = this.#freedAt[port]!
      if (now - freedAt > rest) return port
      if (freedAt < Number.POSITIVE_INFINITY && (best === 0 || freedAt < this.#freedAt[best]!)) best = port
    }
    return best
  }

  used(port: number): void {
    this.#freedAt[port] = Number.POSITIVE_INFINITY
  }

  freed(port: number, now: number): void {
    this.#freedAt[port] = now
  }
}

function rangesOf(read: (name: string) => string, name: string, pattern: RegExp): [number, number][] {
  try {
    const text = read(name)
    const found = pattern.global ? [...text.matchAll(pattern)] : [pattern.exec(text)]
    return found.flatMap(match => (match === null ? [] : [[Number(match[1]), Number(match[2] ?? match[1])]]))
  } catch {
    return []
  }
}
