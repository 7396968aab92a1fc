import { once } from 'node:events'
import { formatShown } from './config/issues.ts'
import type { Loaded } from './config/load.ts'
import { EndError, messageOf, usageError } from './errors.ts'
import { endDespiteFiles, stopSignals } from './process/stop.ts'
import { defaultConfigFile, readFlags, runFolder } from './text/flags.ts'
import { bearClosedReaders, print } from './text/print.ts'

/**
 * The commands. Each loads what it needs when it runs: `health` is a probe every few seconds and loads nothing but
 * node: modules.
 */

const usage = `Usage: wg-punchhole COMMAND

  run [--config FILE] [--wg-conf FILE] [--admin HOST:PORT]
                         one end, until SIGTERM or SIGINT; flags win over the file
  check [--config FILE] [--wg-conf FILE]
                         validate the config, keys and files included, and print what is wrong
  init DIR --endpoint HOST[:PORT] --forward PORT[:TARGETPORT][/udp]... --target HOST [--subnet CIDR[,CIDR]] [--replicas N] [--inline]
                         the files of a gateway and a cluster end that belong together, keys made;
                         --replicas makes them for several pods, each with a key of its own;
                         --inline puts the cluster's keys into values.yaml instead of a Secret
  import HAPROXY.CFG [--wg-conf FILE]
                         a haproxy.cfg as a config on stdout; what cannot be carried over is an error with its line
  genkey | genpsk        a new private or preshared key on stdout
  pubkey                 the public key of the private key on stdin
  health [--live|--ready] [--url URL]
                         ask the running end; exit status 1 when it is unready or does not answer
  status [--json] [--watch] [--wait DURATION] [--url URL]
                         the running end at a glance
  doctor [--config FILE] [--wg-conf FILE] [--url URL] [--json] [--trace [--forward NAME]]
                         what is wrong with this host or the running end, and what to change;
                         --trace sends a marked connection (or datagram) through and shows what each hop saw
  version                versions of the program, wireguard-go and Node

FILE is /etc/wg-punchhole/config.yaml when not given.
Exit status: 0 fine (warnings too), 1 failed, 2 usage, 3 config invalid.
`

const commands = new Map<string, (args: string[]) => number | Promise<number>>([
  ['run', run],
  ['check', check],
  ['init', init],
  ['import', async args => (await import('./import/import.ts')).importConfig(args)],
  ['genkey', genkey],
  ['genpsk', genpsk],
  ['pubkey', pubkey],
  ['health', async args => (await import('./admin/ask.ts')).health(args)],
  ['status', async args => (await import('./admin/ask.ts')).status(args)],
  ['doctor', async args => (await import('./doctor/doctor.ts')).doctor(args)],
  ['version', showVersion],
  ['--version', showVersion],
  ['help', help],
  ['--help', help],
  ['-h', help],
])

/** Runs one command and gives its exit status; what it has to say of an error goes to stderr. */
export async function main([name = '', ...args]: string[]): Promise<number> {
  bearClosedReaders()
  try {
    const command = commands.get(name)
    if (command === undefined)
      throw usageError(name === '' ? 'no command given' : `unknown command "${name}"`)
    return await command(args)
  } catch (error) {
    if (!(error instanceof EndError)) throw error
    process.stderr.write(`wg-punchhole: ${error.line}\n`)
    return error.exitCode
  } finally {
    endDespiteFiles()
  }
}

async function run(args: string[]): Promise<number> {
  const flags = readFlags(args, {
    config: { type: 'string' },
    'wg-conf': { type: 'string' },
    admin: { type: 'string' },
  })
  const stop = stopSignals()
  try {
    const load = await loader(flags)
    const loaded = await Promise.race([load({ pipes: true }), once(stop.drain, 'abort')])
    // Nothing has begun that would have to be taken down.
    if (Array.isArray(loaded)) return 0
    const { config } = loaded
    if (config === undefined) return refuse(loaded)
    await checkResolvConf()
    const { runEnd } = await import('./app.ts')
    return (await runEnd({ loaded: { ...loaded, config }, load, runFolder, stop })) ? 0 : 1
  } finally {
    // Neither something that was left open nor a reader of stderr that has stopped holds up the end.
    stop.endBy(1_000)
  }
}

/** Before anything that loads node:dns. @throws EndError UNRESOLVED for what would hang that. */
async function checkResolvConf(): Promise<void> {
  const { nameFile } = await import('./names/name-file.ts')
  await nameFile('/etc/resolv.conf').catch(error => {
    throw new EndError('UNRESOLVED', messageOf(error))
  })
}

async function check(args: string[]): Promise<number> {
  const load = await loader(readFlags(args, { config: { type: 'string' }, 'wg-conf': { type: 'string' } }))
  const loaded = await load({ pipes: true })
  if (loaded.config === undefined) return refuse(loaded)
  const warnings = formatShown(loaded, ['warning'])
  print(`${warnings.map(line => `${line}\n`).join('')}${loaded.config.file}: valid\n`)
  return 0
}

/** What reads the config that these flags mean, each time anew; files alone, but for who reads them once. */
async function loader(flags: { config?: string; 'wg-conf'?: string; admin?: string }) {
  const { loadAside } = await import('./config/load-aside.ts')
  const where = {
    configFile: flags.config ?? defaultConfigFile,
    ...(flags['wg-conf'] !== undefined && { wgConf: flags['wg-conf'] }),
    ...(flags.admin !== undefined && { admin: flags.admin }),
  }
  return (options?: { pipes: boolean }) => loadAside(where, options)
}

/** The first errors and warnings, and how many more there are, to stderr. */
function refuse(loaded: Loaded): number {
  for (const line of formatShown(loaded, ['error', 'warning'])) process.stderr.write(`${line}\n`)
  return 3
}

async function init(args: string[]): Promise<number> {
  const { init } = await import('./init/init.ts')
  print(init(args))
  return 0
}

async function genkey(args: string[]): Promise<number> {
  readFlags(args, {})
  const { generatePrivateKey } = await import('./config/keys.ts')
  print(`${generatePrivateKey()}\n`)
  return 0
}

async function genpsk(args: string[]): Promise<number> {
  readFlags(args, {})
  const { generatePresharedKey } = await import('./config/keys.ts')
  print(`${generatePresharedKey()}\n`)
  return 0
}

async function pubkey(args: string[]): Promise<number> {
  readFlags(args, {})
  const { isKey, publicKeyOf } = await import('./config/keys.ts')
  const privateKey = (await firstOfStdin()).trim()
  if (!isKey(privateKey))
    throw new EndError('USAGE', 'stdin holds no private key', {
      fix: 'Give one line of 44 characters, as `wg-punchhole genkey` prints it',
    })
  print(`${publicKeyOf(privateKey)}\n`)
  return 0
}

/** What stdin begins with: of an endless one no more is needed to see that it is no key. */
async function firstOfStdin(): Promise<string> {
  let text = ''
  for await (const chunk of process.stdin.setEncoding('latin1')) {
    text += chunk
    if (text.length > 1000) break
  }
  return text
}

async function showVersion(args: string[]): Promise<number> {
  readFlags(args, {})
  const { version } = await import('./version.ts')
  const { findBinary } = await import('./tunnel/binary.ts')
  const wireguardGo = await findBinary().then(
    binary => binary.version,
    () => 'not found',
  )
  print(`wg-punchhole ${version}\nwireguard-go ${wireguardGo}\nnode ${process.version}\n`)
  return 0
}

function help(): number {
  print(usage)
  return 0
}
