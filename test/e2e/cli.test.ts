import { execFileSync, spawn } from 'node:child_process'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { bundle } from '../../scripts/build.ts'
import { runtimePackages } from '../../scripts/licenses.ts'
import { shellCommand } from '../lab/built.ts'
import { commandLine, keyPairs } from '../lab/end.ts'
import { execute, type Result } from '../lab/execute.ts'
import { scratchFolder } from '../lab/scratch.ts'

const root = join(import.meta.dirname, '../..')

const cli = (...args: string[]) => execute(commandLine(args))

t.test('usage errors are exit status 2, with a hint, on stderr', async t => {
  for (const [args, message] of [
    [[], 'no command given'],
    [['runn'], 'unknown command "runn"'],
    [['constructor'], 'unknown command "constructor"'],
    [['run', '--confg', 'x'], '--confg'],
    [['run', 'x'], 'x'],
    [['run', '--config'], '--config'],
    [['check', '--admin', ':1'], '--admin'],
    [['init'], 'DIR is missing'],
    [['import'], 'HAPROXY.CFG is missing'],
    [['import', 'a.cfg', 'b.cfg'], 'unexpected b.cfg'],
    [['import', 'a.cfg', '--force'], '--force'],
    [['init', 'x', '--force'], '--force'],
    [['genkey', 'x'], 'x'],
    [['genpsk', '--x'], '--x'],
    [['pubkey', 'x'], 'x'],
    [['health', '--live', '--ready'], '--live and --ready exclude each other'],
    [['health', '--wait', '1s'], '--wait'],
    [['status', '--wait', 'soon', '--url', 'http://127.0.0.1:9'], '--wait soon is not '],
    [['version', '--json'], '--json'],
  ] as const) {
    const { code, stdout, stderr } = await cli(...args)
    t.equal(code, 2, args.join(' '))
    t.equal(stdout, '')
    t.match(stderr, /^wg-punchhole: .*\n$/, 'one line')
    t.match(stderr, message)
    if (!args.includes('soon' as never)) t.match(stderr, '`wg-punchhole help` lists the commands')
  }
})

t.test('help and version', async t => {
  for (const name of ['help', '--help', '-h']) {
    const { code, stdout } = await cli(name)
    t.equal(code, 0)
    for (const command of [
      'run',
      'check',
      'init',
      'import',
      'genkey',
      'pubkey',
      'health',
      'status',
      'version',
    ])
      t.match(stdout, new RegExp(`^  ${command}\\b`, 'm'))
  }
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  for (const name of ['version', '--version']) {
    const { code, stdout } = await cli(name)
    t.equal(code, 0)
    t.match(
      stdout,
      new RegExp(`^wg-punchhole ${version}\nwireguard-go v0\\.0\\.0-.*\nnode ${process.version}\n$`),
    )
  }
  const without = await execute(commandLine(['version'], { WG_PUNCHHOLE_WIREGUARD_GO: '/nowhere' }))
  t.match(without, { code: 0, stdout: /^wireguard-go not found$/m })
})

t.test('genkey, genpsk and pubkey agree with wg and with node:crypto', async t => {
  const key = (await cli('genkey')).stdout
  t.match(key, /^[A-Za-z0-9+/]{43}=\n$/)
  t.match(await cli('genpsk'), { code: 0, stdout: /^[A-Za-z0-9+/]{43}=\n$/ })
  for (const privateKey of [key, execFileSync('wg', ['genkey'], { encoding: 'utf8' })]) {
    const { code, stdout } = await execute(commandLine(['pubkey']), privateKey)
    t.equal(code, 0)
    t.equal(stdout, execFileSync('wg', ['pubkey'], { input: privateKey, encoding: 'utf8' }))
    const pkcs8 = Buffer.concat([
      Buffer.from('302e020100300506032b656e04220420', 'hex'),
      Buffer.from(privateKey, 'base64'),
    ])
    const { x } = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })).export({
      format: 'jwk',
    })
    t.equal(Buffer.from(x!, 'base64url').toString('base64'), stdout.trim())
  }
})

t.test('pubkey refuses what is no key, and does not repeat it', async t => {
  for (const stdin of [
    '',
    '\n',
    'nonsense\n',
    `${'A'.repeat(42)}B=\n`,
    `${'A'.repeat(43)}=\n${'A'.repeat(43)}=\n`,
  ]) {
    const { code, stdout, stderr } = await execute(commandLine(['pubkey']), stdin)
    t.equal(code, 2)
    t.equal(stdout, '')
    t.match(stderr, /^wg-punchhole: stdin holds no private key\. Give one line of 44 characters/)
    if (stdin.trim() !== '') t.notMatch(stderr, stdin.trim().slice(0, 8))
  }
})

t.test('import: a config on stdout, warnings and errors on stderr', async t => {
  const fixtures = join(root, 'test/fixtures/haproxy')
  for (const [name, code] of [
    ['gateway', 0],
    ['cluster', 0],
    ['refused', 1],
  ] as const) {
    const result = await cli('import', join(fixtures, `${name}.cfg`))
    t.equal(result.code, code)
    if (code === 0) t.match(result.stdout, /^# From .*\nforwards:\n/ms)
    else t.equal(result.stdout, '')
    t.equal(result.stderr === '', name === 'gateway')
    t.equal(result.stderr.includes(': error: '), code === 1)
  }
  t.match(await cli('import', '/nowhere.cfg'), {
    code: 1,
    stdout: '',
    stderr: 'error: /nowhere.cfg does not exist; make it or correct the path\n',
  })
})

const keys = keyPairs()
const wgConf = `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`

/** A folder with these files, mode 0600. */
function files(t: Test, contents: Record<string, string>): string {
  const folder = t.testdir()
  for (const [name, content] of Object.entries(contents))
    writeFileSync(join(folder, name), content, { mode: 0o600 })
  return folder
}

t.test('check: a valid config', async t => {
  const folder = files(t, {
    'config.yaml':
      'tunnel: { wgConf: wg0.conf }\nforwards: { web: { listen: ":80", target: "10.1.10.2:80" } }\n',
    'wg0.conf': wgConf,
  })
  const config = join(folder, 'config.yaml')
  t.match(await cli('check', '--config', config), { code: 0, stdout: `${config}: valid\n`, stderr: '' })

  chmodSync(join(folder, 'wg0.conf'), 0o644)
  const warned = await cli('check', '--config', config)
  t.match(warned, { code: 0, stderr: '' })
  t.match(warned.stdout, /wg0\.conf: warning: .*chmod 600 .*\n.*: valid\n$/)
})

t.test('check: --wg-conf wins over the file', async t => {
  const folder = files(t, {
    'config.yaml':
      'tunnel: { wgConf: missing.conf }\nforwards: { web: { listen: ":80", target: "10.1.10.2:80" } }\n',
    'wg0.conf': wgConf,
  })
  const flags = ['--config', join(folder, 'config.yaml'), '--wg-conf', join(folder, 'wg0.conf')]
  t.match(await cli('check', ...flags), { code: 0 })
})

t.test('check and run: all errors on stderr, each with its place', async t => {
  const folder = files(t, {
    'config.yaml':
      'tunnel: { wgConf: wg0.conf, mtu: 5 }\nforwards:\n  web: { listen: ":80", target: "10.1.10.2" }\nlogg: {}\n',
    'wg0.conf': wgConf.replace(keys.cluster.publicKey, 'nonsense'),
  })
  for (const command of ['check', 'run']) {
    const { code, stdout, stderr } = await cli(command, '--config', join(folder, 'config.yaml'))
    t.equal(code, 3)
    t.equal(stdout, '')
    const lines = stderr.trimEnd().replaceAll(`${folder}/`, '').split('\n')
    t.match(lines.sort(), [
      /^config\.yaml:1:34: error: tunnel\.mtu: found 5; allowed: /,
      /^config\.yaml:3:33: error: forwards\.web\.target: found "10\.1\.10\.2"; allowed: /,
      /^config\.yaml:4:1: error: logg: unknown key; did you mean log\? /,
      /^wg0\.conf:5:13: error: Peer\.PublicKey: found something that is no key; allowed: /,
    ])
    t.equal(lines.length, 4)
    t.notMatch(stderr, keys.gateway.privateKey)
  }
  const missing = await cli('check', '--config', '/nowhere/config.yaml')
  t.match(missing, { code: 3, stderr: /^\/nowhere\/config\.yaml: error: .*does not exist/ })
})

/** A network and a run folder of our own: every end on a machine writes into the same one. */
class Machine {
  readonly #child = spawn(
    'unshare',
    [
      '--mount',
      '--net',
      'sh',
      '-c',
      'ip link set lo up && mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && echo up && exec sleep infinity',
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )

  async up(): Promise<void> {
    await once(this.#child.stdout, 'data')
  }

  /** The command line that runs this one inside. */
  within(...commandLine: string[]): string[] {
    return ['nsenter', '--mount', '--net', '--target', `${this.#child.pid}`, ...commandLine]
  }

  cli(...args: string[]): Promise<Result> {
    return execute(this.within(...commandLine(args)))
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

t.test('health and status', async t => {
  const machine = new Machine()
  t.teardown(() => machine.close())
  await machine.up()

  await t.test('nobody there: exit status 1 that says what to do', async t => {
    for (const args of [['health'], ['health', '--live'], ['status'], ['status', '--json']]) {
      const { code, stdout, stderr } = await machine.cli(...args)
      t.equal(code, 1)
      t.equal(stdout, '')
      t.match(
        stderr,
        /^wg-punchhole: cannot reach http:\/\/127\.0\.0\.1:9586: ECONNREFUSED\. Is the end running/,
      )
    }
    const waited = await machine.cli('status', '--wait', '300ms')
    t.match(waited, { code: 1, stderr: /was not ready within 300ms: cannot reach/ })
  })

  const folder = files(t, {
    'config.yaml': `forwards: { web: { listen: "127.0.0.1:8080", target: "127.0.0.1:8081" } }
admin: { listen: "127.0.0.1:9999" }
`,
  })
  const waiting = machine.cli('status', '--wait', '30s', '--url', 'http://127.0.0.1:9777')
  const run = ['run', '--config', join(folder, 'config.yaml'), '--admin', '127.0.0.1:9777']
  const [enter, ...within] = machine.within(...commandLine(run))
  const end = spawn(enter!, within, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(end, 'close')
  t.teardown(() => end.kill('SIGKILL'))

  t.test('--wait ends well once it is ready; --admin wins over the file', async t => {
    t.match(await waiting, { code: 0, stdout: /ready/ })
  })

  t.test('they find it by themselves', async t => {
    t.match(await machine.cli('health'), { code: 0, stdout: '{"status":"ready","reasons":[]}\n' })
    t.match(await machine.cli('health', '--live'), { code: 0 })
    t.match(await machine.cli('health', '--ready'), { code: 0 })
    const { code, stdout } = await machine.cli('status')
    t.equal(code, 0)
    t.match(stdout, /^ready .*\n.*web +127\.0\.0\.1:8080 +127\.0\.0\.1:8081/s)
    t.notMatch(stdout, '\x1b', 'no colour into a pipe')
    t.match(JSON.parse((await machine.cli('status', '--json')).stdout), {
      health: { status: 'ready' },
      forwards: [{ name: 'web' }],
    })
  })

  t.test('--url says which', async t => {
    t.match(await machine.cli('health', '--url', 'http://127.0.0.1:9777'), { code: 0 })
    t.match(await machine.cli('health', '--url', 'http://127.0.0.1:9'), {
      code: 1,
      stderr: /:9: ECONNREFUSED/,
    })
    t.match(await machine.cli('status', '--url', 'http://127.0.0.1:9'), { code: 1 })
    t.match(await machine.cli('health', '--url', 'nonsense'), {
      code: 1,
      stderr: /^wg-punchhole: .*nonsense/,
    })
  })

  t.test('a scraper gets its metrics', async t => {
    const { stdout } = await execute(machine.within('curl', '-sS', 'http://127.0.0.1:9777/metrics'))
    t.match(stdout, /^wg_punchhole_ready 1$/m)
  })

  t.test('colour on a terminal only, and not with NO_COLOR', async t => {
    const onTerminal = (env: NodeJS.ProcessEnv) =>
      execute(machine.within('script', '-qec', shellCommand(['status']), '/dev/null'), '', {
        NO_COLOR: '',
        FORCE_COLOR: '',
        TERM: 'xterm',
        ...env,
      })
    t.match((await onTerminal({})).stdout, '\x1b[32mready')
    t.notMatch((await onTerminal({ NO_COLOR: '1' })).stdout, '\x1b')
  })

  t.test('--watch goes on until SIGINT', async t => {
    const [file, ...args] = machine.within(...commandLine(['status', '--watch']))
    const watch = spawn(file!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const over = once(watch, 'close')
    const looks: string[] = []
    for await (const chunk of watch.stdout) {
      looks.push(String(chunk))
      if (looks.length === 2) watch.kill('SIGINT')
    }
    const [code, signal] = await over
    t.ok(code === 130 || signal === 'SIGINT', `${code} ${signal}`)
    for (const look of looks) t.match(look, /^\x1b\[Hready .*\x1b\[J$/s)
  })

  t.test('health loads nothing but node: modules', async t => {
    const hook = `import { registerHooks } from 'node:module'
registerHooks({ load(url, context, next) { process.stderr.write(url + '\\n'); return next(url, context) } })`
    const options = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(hook)}` }
    const { code, stderr } = await execute(machine.within(...commandLine(['health'], options)))
    t.equal(code, 0)
    const files = stderr.split('\n').filter(url => url !== '' && !url.startsWith('node:'))
    const sources = files.flatMap<string>(
      url => JSON.parse(readFileSync(`${fileURLToPath(url)}.map`, 'utf8')).sources,
    )
    t.ok(sources.includes('../src/admin/client.ts'))
    t.strictSame(
      sources.filter(source => /node_modules|app\.ts|load\.ts|schema\.ts/.test(source)),
      [],
    )
  })

  t.test('SIGINT ends it', async t => {
    end.kill('SIGINT')
    t.strictSame(await ended, [0, null])
    t.match(await machine.cli('health'), { code: 1 })
  })
})

t.test('what npm run build makes runs by itself', async t => {
  const folder = scratchFolder()
  for (const name of ['native', 'package.json']) symlinkSync(join(root, name), join(folder, name))
  const { inputs } = await bundle(join(folder, 'dist'))
  const packages = Object.keys(inputs).flatMap(
    path => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? [],
  )
  t.ok(packages.includes('pino') && packages.includes('yaml'))
  const licensed = runtimePackages()
  t.same(
    packages.filter(name => !licensed.includes(name)),
    [],
    'each has its licence here',
  )
  const built = (...args: string[]) =>
    execute([join(folder, 'dist/main.js'), ...args], '', {
      PATH: `${dirname(process.execPath)}:${process.env.PATH}`,
    })
  const { code, stdout } = await built('version')
  t.equal(code, 0)
  t.equal(stdout, (await cli('version')).stdout)
  writeFileSync(join(folder, 'config.yaml'), 'forwards: { web: { listen: ":80", target: "192.0.2.1:80" } }\n')
  t.match(await built('check', '--config', join(folder, 'config.yaml')), { code: 0, stdout: /: valid\n$/ })
})
