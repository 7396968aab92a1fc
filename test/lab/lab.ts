import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Tools } from './agent.ts'
import { Running } from './running.ts'
import { assertNoSecret } from './secrets.ts'

export { Running }

const run = promisify(execFile)

/**
 * Hosts on one machine: network namespaces joined by veth pairs, and processes in them. Needs root.
 * `close` (or `await using`) ends every process and removes every namespace that this lab made, nothing else.
 */
export class Lab implements AsyncDisposable {
  /** Part of every namespace's and tunnel interface's name: /var/run/wireguard is one folder for all namespaces. */
  readonly id: string
  /** A folder for files, removed at the end. */
  readonly folder: string
  readonly #hosts: Host[] = []
  /** Devices on the machine itself. */
  readonly #devices: string[] = []
  #closed = false
  #laying: Promise<unknown> = Promise.resolve()

  private constructor(id: string, folder: string) {
    this.id = id
    this.folder = folder
  }

  static async create(id = `l${process.pid}`): Promise<Lab> {
    const lab = new Lab(id, await mkdtemp(join(tmpdir(), `${id}-`)))
    process.once('exit', lab.#abandon)
    return lab
  }

  /** A new namespace with its loopback up. `wrapper` is a command that runs whatever is started there, such as `taskset -c 0`. */
  host(name: string, wrapper: readonly string[] = []): Promise<Host> {
    return this.#lay(async () => {
      const host = new Host(`${this.id}-${name}`, wrapper)
      this.#hosts.push(host)
      await run('ip', ['netns', 'add', host.namespace])
      await run('ip', ['-n', host.namespace, 'link', 'set', 'lo', 'up'])
      return host
    })
  }

  /** A veth pair between two hosts, or between the machine itself (`undefined`) and one; addresses with prefix length. */
  link(a: Host | undefined, aAddresses: string[], b: Host, bAddresses: string[]): Promise<void> {
    return this.#lay(() => this.#link(a, aAddresses, b, bAddresses))
  }

  /** Gives a host a file of its own in /etc, before anything is started there; what is written later is seen at once. */
  async etc(host: Host, name: 'hosts' | 'resolv.conf', text: string): Promise<void> {
    const folder = etcOf(host)
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, name), text)
  }

  /** What every process of this lab has printed. */
  get output(): string {
    return this.#hosts.map(host => host.output).join('\n')
  }

  /** One thing after the other, and nothing once it is closed, which may be while somebody is still laying. */
  async #lay<T>(work: () => Promise<T>): Promise<T> {
    const laid = this.#laying.then(() => {
      if (this.#closed) throw new Error('the lab is closed')
      return work()
    })
    this.#laying = laid.catch(() => {})
    return laid
  }

  async #link(a: Host | undefined, aAddresses: string[], b: Host, bAddresses: string[]): Promise<void> {
    const near = a === undefined ? `${this.id}v${this.#devices.length}` : `to-${b.namespace.split('-')[1]}`
    if (a === undefined) this.#devices.push(near)
    const far = a === undefined ? 'to-machine' : `to-${a.namespace.split('-')[1]}`
    const at = (host: Host | undefined) => (host === undefined ? [] : ['netns', host.namespace])
    await run('ip', ['link', 'add', near, ...at(a), 'type', 'veth', 'peer', 'name', far, ...at(b)])
    for (const [host, device, addresses] of [
      [a, near, aAddresses],
      [b, far, bAddresses],
    ] as const) {
      const ip = (...args: string[]) =>
        run('ip', [...(host === undefined ? [] : ['-n', host.namespace]), ...args])
      for (const address of addresses)
        await ip('address', 'add', address, 'dev', device, ...(address.includes(':') ? ['nodad'] : []))
      await ip('link', 'set', device, 'up')
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#laying
    const hosts = this.#hosts.splice(0)
    await Promise.all(hosts.map(host => host.stop()))
    // They would go with their namespaces, but the kernel takes its time for those.
    for (const device of this.#devices.splice(0)) await run('ip', ['link', 'delete', device]).catch(() => {})
    for (const host of hosts)
      if (existsSync(`/run/netns/${host.namespace}`)) await run('ip', ['netns', 'delete', host.namespace])
    for (const host of hosts) await rm(etcOf(host), { recursive: true, force: true })
    await rm(this.folder, { recursive: true, force: true })
    process.off('exit', this.#abandon)
    for (const host of hosts) assertNoSecret(host.output)
  }

  /** A process that ends by an exception, outside of any test, closes nothing. */
  readonly #abandon = (): void => {
    const remaining = this.#hosts.filter(host => existsSync(`/run/netns/${host.namespace}`))
    for (const { namespace } of remaining) {
      const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' })
      for (const pid of pids.split('\n').filter(Boolean))
        try {
          process.kill(Number(pid), 'SIGKILL')
        } catch {} // It has just ended by itself.
      execFileSync('ip', ['netns', 'delete', namespace])
    }
    for (const host of this.#hosts) rmSync(etcOf(host), { recursive: true, force: true })
    rmSync(this.folder, { recursive: true, force: true })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** What `ip netns exec` puts over /etc; ip-netns(8). */
function etcOf({ namespace }: Host): string {
  return `/etc/netns/${namespace}`
}

/** One namespace. */
export class Host {
  readonly namespace: string
  readonly #wrapper: readonly string[]
  readonly #processes = new Set<Running>()
  #agent: Agent | undefined
  #stopped = false

  constructor(namespace: string, wrapper: readonly string[] = []) {
    this.namespace = namespace
    this.#wrapper = wrapper
  }

  get output(): string {
    return [...this.#processes].map(running => running.output).join('\n')
  }

  async route(destination: string, via: string): Promise<void> {
    await this.exec('ip', 'route', 'replace', destination, 'via', via)
  }

  /** Runs a command to its end and gives its stdout; rejects when it fails. */
  async exec(command: string, ...args: string[]): Promise<string> {
    const { stdout } = await run('ip', ['netns', 'exec', this.namespace, command, ...args], {
      maxBuffer: 64 << 20,
      timeout: 60_000,
    })
    return stdout
  }

  /** Starts a command that runs until it is stopped. */
  start(
    command: string,
    args: readonly string[],
    options: { env?: NodeJS.ProcessEnv; cwd?: string } = {},
  ): Running {
    if (this.#stopped) throw new Error('the lab is closed')
    const child = spawn('ip', ['netns', 'exec', this.namespace, ...this.#wrapper, command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
      ...(options.cwd !== undefined && { cwd: options.cwd }),
    })
    const running = new Running(child)
    this.#processes.add(running)
    return running
  }

  /**
   * Runs a function inside this namespace, in a Node process of its own. Its text is sent over, so it sees nothing but
   * its argument, the agent's tools and what it imports; argument and result are what structured clone can carry.
   */
  async run<R>(task: (argument: undefined, tools: Tools) => R): Promise<Awaited<R>>
  async run<A, R>(task: (argument: A, tools: Tools) => R, argument: A): Promise<Awaited<R>>
  async run<R>(task: (argument: never, tools: Tools) => R, argument?: unknown): Promise<Awaited<R>> {
    if (this.#stopped) throw new Error('the lab is closed')
    this.#agent ??= new Agent(this.namespace)
    return this.#agent.run(task, argument)
  }

  /** Ends every process started here; from then on none can be. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#agent?.stop()
    this.#agent = undefined
    await Promise.all([...this.#processes].map(running => running.stop()))
  }
}

/** A Node process in a namespace that runs functions sent to it. */
class Agent {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #next = 0

  constructor(namespace: string) {
    this.#child = spawn(
      'ip',
      ['netns', 'exec', namespace, process.execPath, join(import.meta.dirname, 'agent.ts')],
      {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        serialization: 'advanced',
        env: { ...process.env, NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
      },
    )
    this.#child.on('message', (answer: { id: number; result?: unknown; error?: string }) => {
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error === undefined) waiting?.resolve(answer.result)
      else waiting?.reject(new Error(answer.error))
    })
    this.#child.on('close', () => {
      for (const waiting of this.#waiting.values()) waiting.reject(new Error('the agent ended'))
    })
  }

  run<R>(task: (argument: never, tools: Tools) => R, argument: unknown): Promise<Awaited<R>> {
    const id = this.#next++
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    // A test that has failed already awaits it no more.
    waiting.promise.catch(() => {})
    this.#child.send({ id, task: task.toString(), argument }, error => {
      if (error !== null) waiting.reject(error)
    })
    return waiting.promise as Promise<Awaited<R>>
  }

  stop(): void {
    this.#child.kill('SIGKILL')
  }
}
