import { execFile, execFileSync, spawn } from 'node:child_process'
import { accessSync } from 'node:fs'
import { basename, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Host } from '../lab/lab.ts'
import { Running } from '../lab/running.ts'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')
export const podman = join(root, 'scripts/podman.sh')

export const tag = 'localhost/wg-punchhole:test'

/** Why no image can be built or run here, else false: the `skip` of these tests. */
export const skip: string | false = missing()

function missing(): string | false {
  if (process.getuid?.() !== 0) return 'needs root'
  for (const program of ['podman', 'buildah', 'runc', 'mmdebstrap', 'go', 'npm']) {
    try {
      execFileSync('which', [program], { env: searched() })
    } catch {
      return `${program} is not installed; scripts/setup.sh full does that`
    }
  }
  try {
    accessSync('/dev/net/tun')
  } catch {
    return 'there is no /dev/net/tun'
  }
  return false
}

function searched(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin:/usr/local/go/bin` }
}

/** Builds the image from what is in the work tree. Quick when nothing changed, some minutes the first time. */
export async function buildImage(): Promise<void> {
  await run(join(root, 'scripts/image.sh'), [tag], { env: searched() })
}

/** A podman command to its end, on the machine itself; rejects when it fails. */
export async function onMachine(...args: string[]): Promise<string> {
  const { stdout } = await run(podman, args, { maxBuffer: 64 << 20 })
  return stdout
}

/** What a container may: the flags of `docker run` in the documents, without network and volumes. */
export const hardened = [
  ...['--cap-drop', 'ALL', '--cap-add', 'NET_ADMIN', '--device', '/dev/net/tun'],
  ...['--read-only', '--security-opt', 'no-new-privileges'],
]

/**
 * One container on a host of the lab, whose namespace is what the machine's own is to podman: `--network host` is that
 * namespace, and bridges and published ports are made in it. `await using` removes it with its anonymous volumes.
 */
export class Container implements AsyncDisposable {
  static #count = 0
  readonly #host: Host
  readonly name: string
  /** `podman run` or `start` with the container's output. */
  running: Running

  /** `args` are those of `podman run`, the image and its command last. */
  constructor(host: Host, args: readonly string[]) {
    this.#host = host
    this.name = `${host.namespace}-${Container.#count++}`
    this.running = this.#attach('run', '--name', this.name, ...limits, ...podmanOnly, ...args)
  }

  /** Waits for the end of a container that is expected to end by itself. */
  async ended(): Promise<{ code: number | null; output: string }> {
    const { code } = await this.running.exited
    return { code, output: this.running.output }
  }

  /** An end that forgot its peer waits for it, in the worst case for the 120 s after which a session is renewed. */
  async ready(): Promise<void> {
    await this.running.logged(line => line.msg === 'health changed' && line.status === 'ready', {
      ms: 180_000,
    })
  }

  /** A podman command about this container. */
  async podman(command: string, ...args: string[]): Promise<string> {
    const { stdout } = await run('nsenter', [this.#net, podman, command, ...args, this.name])
    return stdout.trim()
  }

  /** Runs a command inside. */
  async exec(...command: string[]): Promise<string> {
    const { stdout } = await run('nsenter', [this.#net, podman, 'exec', this.name, ...command])
    return stdout.trim()
  }

  /** Stops and starts it as `podman restart` does, with the output of the new run. */
  async restart(): Promise<void> {
    await this.podman('stop', '--time', '45')
    await this.running.exited
    this.running = this.#attach('start', '--attach', this.name)
  }

  /** The program and the machine's process id of every process inside. */
  async processes(): Promise<{ pid: number; program: string }[]> {
    const { stdout } = await run(podman, ['top', this.name, 'hpid', 'args'])
    const [, ...lines] = stdout.trim().split('\n')
    return lines.map(line => {
      const [pid, path] = line.trim().split(/\s+/)
      return { pid: Number(pid), program: basename(path!) }
    })
  }

  async signal(program: string, signal: NodeJS.Signals): Promise<void> {
    const { pid } = (await this.processes()).find(process => process.program === program)!
    process.kill(pid, signal)
  }

  /** Removes it as often as it takes: podman may still be about to make it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const remove = ['rm', '--force', '--ignore', '--volumes', '--time', '0', this.name]
    do await run('nsenter', [this.#net, podman, ...remove])
    while (!(await Promise.race([this.running.exited, sleep(500, undefined)])))
    await run('nsenter', [this.#net, podman, ...remove])
  }

  get #net(): string {
    return `--net=/run/netns/${this.#host.namespace}`
  }

  #attach(...args: string[]): Running {
    return new Running(spawn('nsenter', [this.#net, podman, ...args], { stdio: ['ignore', 'pipe', 'pipe'] }))
  }
}

/** The machine's own limits may be below podman's defaults, which it then cannot set. */
const limits = ['--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=10000:10000']
/** Docker's --read-only has no writable /run, /tmp and /var/tmp. */
const podmanOnly = ['--read-only-tmpfs=false']
