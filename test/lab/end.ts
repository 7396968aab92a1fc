import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generatePrivateKey, publicKeyOf } from '../../src/config/keys.ts'
import { commandLine, program } from './built.ts'
import type { Host, Lab, Running } from './lab.ts'
import { secret } from './secrets.ts'

export { commandLine, program }

export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

export function keyPair(): KeyPair {
  const privateKey = secret(generatePrivateKey())
  return { privateKey, publicKey: publicKeyOf(privateKey) }
}

/** The two key pairs of a gateway and a cluster end. */
export function keyPairs() {
  return { gateway: keyPair(), cluster: keyPair() }
}

/** Files of one end, in a folder of the lab: `config.yaml` and, where there is a tunnel, `wg0.conf` with mode 0600. */
export async function endFolder(
  lab: Lab,
  name: string,
  files: { config: string; wgConf?: string },
): Promise<string> {
  const folder = join(lab.folder, name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'config.yaml'), files.config)
  if (files.wgConf !== undefined) await writeFile(join(folder, 'wg0.conf'), files.wgConf, { mode: 0o600 })
  return folder
}

export interface EndOptions {
  /** Flags of `run` beside `--config`. */
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** A command that runs the command line which follows it, such as `setpriv --no-new-privs`. */
  readonly wrapper?: readonly string[]
}

/** Collects garbage, and gives back the room that V8 keeps for more of it, which differs by chance. */
const collection = "process.on('SIGUSR2',()=>globalThis.gc({type:'major',flavor:'last-resort'}))"

/** An end that does so at SIGUSR2: what it holds after that, it really holds. */
export const collecting: EndOptions = {
  env: { NODE_OPTIONS: `--expose-gc --import=data:text/javascript,${collection}` },
}

/** `wg-punchhole run` on a host. */
export function startEnd(
  host: Host,
  folder: string,
  { args = [], env = {}, wrapper = [] }: EndOptions = {},
): Running {
  const config = join(folder, 'config.yaml')
  const [command, ...rest] = [...wrapper, ...commandLine(['run', '--config', config, ...args], env)]
  return host.start(command!, rest)
}

/** Any other command of the program on a host; gives its exit status and output. */
export async function command(
  host: Host,
  ...args: string[]
): Promise<{ code: number | null; output: string }> {
  const [env, ...rest] = commandLine(args)
  const running = host.start(env, rest)
  const { code } = await running.exited
  return { code, output: running.output }
}

/** Kills the program and its wireguard-go at the same moment, so that none of them can say a word. Gives when. */
export async function killEnd(host: Host, end: Running, device: string): Promise<number> {
  const child = Number(await host.exec('pgrep', '-f', `wireguard-go -f ${device}$`))
  process.kill(child, 'SIGKILL')
  end.child.kill('SIGKILL')
  const at = Date.now()
  await end.exited
  return at
}
