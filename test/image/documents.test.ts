import { execFileSync, spawnSync } from 'node:child_process'
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { scratchFolder } from '../lab/scratch.ts'

/** Flags of every `docker run -d` in a document, sorted, each with its value; the image is last and left out. */
function dockerRuns(text: string): string[][] {
  const commands = text.replaceAll('\\\n', ' ').matchAll(/docker run -d (.*) wg-punchhole$/gm)
  return Array.from(commands, ([, flags]) =>
    flags!
      .trim()
      .split(/\s+(?=-)/)
      .sort(),
  )
}

/** The same for a service of a compose file. */
function composed(file: string): string[] {
  const { services, volumes } = parse(readFileSync(file, 'utf8'))
  const { image, ...service } = services['wg-punchhole']
  t.equal(image, 'wg-punchhole')
  t.same(Object.keys(services), ['wg-punchhole'])
  const flags: Record<string, (value: never) => string[]> = {
    container_name: (name: string) => [`--name ${name}`],
    restart: (policy: string) => [`--restart ${policy}`],
    network_mode: (mode: string) => [`--network ${mode}`],
    cap_drop: (names: string[]) => names.map(name => `--cap-drop ${name}`),
    cap_add: (names: string[]) => names.map(name => `--cap-add ${name}`),
    devices: (devices: string[]) =>
      devices.map(device => {
        const [outside, inside] = device.split(':')
        t.equal(inside, outside)
        return `--device ${outside}`
      }),
    read_only: (on: boolean) => (on ? ['--read-only'] : []),
    security_opt: (options: string[]) => options.map(option => `--security-opt ${option}`),
    stop_grace_period: (time: string) => [`--stop-timeout ${time.replace(/s$/, '')}`],
    volumes: (mounts: string[]) => {
      for (const [source] of mounts.map(mount => mount.split(':')))
        if (!source!.startsWith('.')) t.equal(volumes[source!].name, source, 'the volume has no prefix')
      return mounts.map(mount => `-v ${mount}`)
    },
  }
  return Object.entries(service)
    .flatMap(([key, value]) => flags[key]!(value as never))
    .sort()
}

t.test('docs/compose.yaml is what each docker run on the host network does', async t => {
  const wanted = composed('docs/compose.yaml')
  const documents = ['README.md', ...globSync('docs/*.md')]
  const runs = documents.flatMap(file => dockerRuns(readFileSync(file, 'utf8')))
  const onHost = runs.filter(flags => flags.includes('--network host'))
  t.ok(onHost.length > 0)
  for (const flags of onHost) t.same(flags, wanted)
  for (const flags of runs.filter(flags => !onHost.includes(flags)))
    t.same(
      flags.filter(flag => !flag.startsWith('-p ')),
      [
        ...wanted.filter(flag => flag !== '--network host' && flag !== '--cap-add NET_BIND_SERVICE'),
        '--sysctl net.ipv4.ip_unprivileged_port_start=0',
      ].sort(),
      'on a bridge the sysctl replaces a capability',
    )
})

const unit = 'docs/wg-punchhole.service'
const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0
const skip = !hasSystemd && 'systemd-analyze is not installed'

t.test('systemd takes the unit as it is', { skip }, async t => {
  const copy = join(scratchFolder(), 'wg-punchhole.service')
  // The program is not where it will be installed.
  const text = readFileSync(unit, 'utf8').replace(/^ExecStart=\S+/m, `ExecStart=${process.execPath}`)
  writeFileSync(copy, text.replace(/^Documentation=.*\n/m, ''))
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', copy], { encoding: 'utf8' })
  t.equal(
    stderr
      .split('\n')
      .filter(line => line.includes('wg-punchhole.service'))
      .join('\n'),
    '',
  )
  t.equal(status, 0)
})

t.test('the unit has two capabilities and a good score', { skip }, async t => {
  const [, capabilities] = /^CapabilityBoundingSet=(.*)$/m.exec(readFileSync(unit, 'utf8'))!
  t.equal(capabilities, 'CAP_NET_ADMIN CAP_NET_BIND_SERVICE')
  // Exposure from 0 to 10, here times ten; exit status 1 above it.
  execFileSync('systemd-analyze', ['security', '--offline=yes', '--threshold=25', unit])
})

t.test('the stop times leave room for the default drainTimeout', async t => {
  const stop = Number(/^TimeoutStopSec=(\d+)$/m.exec(readFileSync(unit, 'utf8'))?.[1])
  const { stop_grace_period } = parse(readFileSync('docs/compose.yaml', 'utf8')).services['wg-punchhole']
  t.ok(stop > 30)
  t.equal(stop_grace_period, `${stop}s`)
})
