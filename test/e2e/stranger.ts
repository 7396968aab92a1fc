import type { Tools } from '../lab/agent.ts'
import type { Host, Lab } from '../lab/lab.ts'

interface Heard {
  readonly bytes: number
  readonly connections: number
}

/**
 * A host behind an end's default route that answers at every address of the tunnel and on every TCP port, and notes what
 * it is sent. Whatever it gets has left the end unencrypted.
 */
export class Stranger {
  readonly #host: Host

  private constructor(host: Host) {
    this.#host = host
  }

  /** Puts it behind the default route of `end`; it has the addresses `tunnelled`, with prefix length. */
  static async behind(
    lab: Lab,
    end: Host,
    tunnelled: readonly string[],
    name = 'stranger',
  ): Promise<Stranger> {
    const host = await lab.host(name)
    await lab.link(end, ['192.0.2.1/24', '2001:db8:2::1/64'], host, ['192.0.2.2/24', '2001:db8:2::2/64'])
    await end.exec('ip', 'route', 'replace', 'default', 'via', '192.0.2.2')
    // For rules to lead there.
    await end.exec('ip', 'route', 'replace', 'default', 'via', '192.0.2.2', 'table', '100')
    await end.exec('ip', '-6', 'route', 'replace', 'default', 'via', '2001:db8:2::2')
    await host.exec('ip', 'route', 'replace', 'default', 'via', '192.0.2.1')
    await host.exec('ip', '-6', 'route', 'replace', 'default', 'via', '2001:db8:2::1')
    for (const address of tunnelled)
      await host.exec(
        'ip',
        'address',
        'add',
        address,
        'dev',
        'lo',
        ...(address.includes(':') ? ['nodad'] : []),
      )
    for (const [iptables, largestEmpty] of [
      ['iptables', 60],
      ['ip6tables', 80],
    ] as const) {
      // A SYN with all its options is so long; what is longer carries data.
      const length = ['-m', 'length', '--length', `${largestEmpty + 1}:`]
      await host.exec(iptables, '-A', 'INPUT', '-p', 'tcp', ...length)
      // What he has no connection for he listens to in silence.
      await host.exec(iptables, '-A', 'OUTPUT', '-p', 'tcp', '--tcp-flags', 'RST', 'RST', '-j', 'DROP')
      await host.exec(
        iptables,
        '-t',
        'nat',
        '-A',
        'PREROUTING',
        '-p',
        'tcp',
        '-j',
        'REDIRECT',
        '--to-ports',
        '7777',
      )
    }
    await host.run(listen)
    return new Stranger(host)
  }

  /** Bytes that its TCP server received, and segments with data that came to it, of a connection of its own or not. */
  async heard(): Promise<Heard & { segments: number }> {
    let segments = 0
    for (const iptables of ['iptables', 'ip6tables']) {
      const rules = await this.#host.exec(iptables, '-L', 'INPUT', '-v', '-n', '-x')
      segments += Number(/^\s*(\d+)\s+\d+\s.*length/m.exec(rules)![1])
    }
    return { segments, ...(await this.#host.run((_, { state }) => state.get('heard') as Heard)) }
  }
}

async function listen(_: undefined, { state }: Tools): Promise<void> {
  const { createServer } = await import('node:net')
  const heard = { bytes: 0, connections: 0 }
  state.set('heard', heard)
  const server = createServer(socket => {
    heard.connections++
    socket.on('error', () => {})
    socket.on('data', chunk => {
      heard.bytes += chunk.length
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nstranger')
    })
  })
  await new Promise<void>(resolve => server.listen(7777, '::', resolve))
}
