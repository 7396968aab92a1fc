import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse } from 'yaml'
import type { Config } from '../../src/config/config.ts'
import { publicKeyOf } from '../../src/config/keys.ts'
import { loadConfig } from '../../src/config/load.ts'
import { parseWgConf } from '../../src/config/wg-conf.ts'
import { writeFolder } from '../../src/init/folder.ts'
import { init, nextSteps } from '../../src/init/init.ts'
import { parsePair } from '../../src/init/pair.ts'
import * as chart from '../chart/helm.ts'
import { scratchFolder } from '../lab/scratch.ts'
import { flags, podFiles, read } from './made.ts'

const everyFile = [
  'cluster/secret.yaml',
  'cluster/values.yaml',
  'gateway/compose.yaml',
  'gateway/config.yaml',
  'gateway/wg0.conf',
]

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort()
}

/** All ends' configs as the program judges them; the cluster's of what the chart makes its pods. */
async function judged(t: Test, pair: string, replicas: number) {
  const gateway = await loadConfig({ configFile: join(pair, 'gateway/config.yaml') })
  t.same(gateway.issues, [])
  const clusters: Config[] = []
  for (let ordinal = 0; ordinal < replicas; ordinal++) {
    const pod = podFiles(pair, ordinal)
    const folder = scratchFolder()
    writeFileSync(join(folder, 'config.yaml'), pod.config)
    writeFileSync(join(folder, 'wg0.conf'), pod.wgConf, { mode: 0o600 })
    const cluster = await loadConfig({
      configFile: join(folder, 'config.yaml'),
      wgConf: join(folder, 'wg0.conf'),
      admin: ':9586',
    })
    t.same(cluster.issues, [])
    clusters.push(cluster.config!)
  }
  return { gateway: gateway.config!, clusters }
}

for (const [what, more, replicas = 1] of [
  ['the smallest pair', []],
  ['with everything', ['--forward', '80:8080', '--forward', '8000-8010', '--subnet', '10.9.0.0/16']],
  ['UDP, too', ['--forward', '53', '--forward', '53:5353/udp', '--forward', '500-510/udp']],
  ['keys inline', ['--inline']],
  ['both families', ['--subnet', '10.9.0.0/16,fd00:10::/64']],
  [
    'IPv6 throughout',
    ['--subnet', 'fd00:10::/64', '--target', '2001:db8::2', '--endpoint', '[2001:db8::1]:4500'],
  ],
  ['two replicas', ['--replicas', '2', '--forward', '80:8080', '--forward', '8000-8010'], 2],
  ['two replicas inline', ['--replicas', '2', '--inline'], 2],
  ['many replicas in both families', ['--replicas', '13', '--subnet', '10.9.0.0/28,fd00:10::/64'], 13],
  ['replicas in IPv6 alone', ['--replicas', '2', '--subnet', 'fd00:10::/126'], 2],
] as const) {
  t.test(`${what}: the ends are valid and fit each other`, async t => {
    const pair = join(scratchFolder(), 'pair')
    init(flags(pair, ...more))
    const inline = what.includes('inline')
    t.same(
      filesIn(pair),
      everyFile.filter(file => !inline || file !== 'cluster/secret.yaml'),
    )
    const { gateway, clusters } = await judged(t, pair, replicas)
    const atGateway = gateway.tunnel!
    const addresses = (of: readonly { address: string }[]) => of.map(({ address }) => address)
    t.equal(atGateway.peers.length, replicas)
    t.equal(new Set(clusters.map(({ tunnel }) => tunnel!.publicKey)).size, replicas, 'a key for each')
    t.equal(new Set(atGateway.peers.map(peer => peer.presharedKey)).size, replicas, 'and a preshared one')
    for (const [ordinal, { tunnel, forwards }] of clusters.entries()) {
      const peer = atGateway.peers[ordinal]!
      const [toGateway, ...others] = tunnel!.peers
      t.same(others, [])
      t.equal(peer.publicKey, tunnel!.publicKey)
      t.equal(toGateway!.publicKey, atGateway.publicKey)
      t.not(tunnel!.publicKey, atGateway.publicKey)
      t.ok(peer.presharedKey)
      t.equal(peer.presharedKey, toGateway!.presharedKey)
      t.equal(atGateway.listenPort, toGateway!.endpoint!.port)
      t.same(addresses(peer.allowedIps), addresses(tunnel!.addresses))
      t.same(addresses(toGateway!.allowedIps), addresses(atGateway.addresses))
      t.equal(forwards.length, gateway.forwards.length)
    }
    for (const { upstream, listen, name } of gateway.forwards) {
      t.same(
        upstream.targets.map(({ host }) => host),
        clusters.map(({ tunnel }) => tunnel!.addresses[0]!.address),
      )
      for (const { forwards } of clusters) {
        const other = forwards.find(forward => forward.name === name)!
        for (const { first, last } of upstream.targets) t.match(other.listen, { host: 'tunnel', first, last })
      }
      t.equal(listen.host, '')
    }
  })
}

t.test('the chart takes the values', { skip: chart.skip }, async t => {
  for (const more of [
    ['--forward', '80:8080', '--forward', '8000-8010'],
    ['--forward', '53:5353/udp'],
    ['--inline'],
    ['--replicas', '3'],
    ['--replicas', '3', '--inline'],
  ]) {
    const pair = join(scratchFolder(), 'pair')
    init(flags(pair, ...more))
    const objects = await chart.render(parse(read(pair, 'cluster/values.yaml')))
    const config = objects.get('ConfigMap/home-wg-punchhole')!.data['config.yaml']
    t.same(parse(config).forwards, parse(podFiles(pair).config).forwards)
    const replicas = more.includes('--replicas') ? 3 : 1
    const kind = replicas > 1 ? 'StatefulSet' : 'Deployment'
    t.equal(objects.get(`${kind}/home-wg-punchhole`)!.spec.replicas, replicas)
    for (let ordinal = 0; ordinal < replicas; ordinal++) {
      const { conf, issues } = parseWgConf('wg0.conf', podFiles(pair, ordinal).wgConf)
      t.same(issues, [])
      t.ok(publicKeyOf(conf.privateKey!))
    }
    const inline = more.includes('--inline')
    const conformed = await chart.kubeconform(inline ? '' : read(pair, 'cluster/secret.yaml'))
    t.equal(conformed.status, 0, conformed.stdout)
  }
})

t.test('keys are new each time', async t => {
  const folder = scratchFolder()
  const keys = ['a', 'b'].map(name => {
    init(flags(join(folder, name), '--replicas', '2'))
    const text = `${read(join(folder, name), 'gateway/wg0.conf')}${read(join(folder, name), 'cluster/secret.yaml')}`
    return [...new Set(text.match(/(?<=^ *(PrivateKey|PresharedKey) = ).*$/gm))]
  })
  t.equal(new Set(keys.flat()).size, 10, 'of three private keys and two preshared ones each')
})

t.test('only the owner reads, whatever the umask', async t => {
  for (const umask of [0o000, 0o022, 0o777]) {
    const pair = join(scratchFolder(), 'pair')
    const before = process.umask(umask)
    try {
      init(flags(pair))
      t.equal(process.umask(umask), umask, 'the umask is as it was')
    } finally {
      process.umask(before)
    }
    for (const file of everyFile) t.equal(statSync(join(pair, file)).mode & 0o7777, 0o600)
    for (const folder of ['', 'gateway', 'cluster'])
      t.equal(statSync(join(pair, folder)).mode & 0o7777, 0o700)
  }
})

t.test('nothing is overwritten', async t => {
  const taken = { code: 'FOLDER', exitCode: 1, message: /is there already, and nothing is overwritten$/ }
  for (const [what, occupy] of [
    ['a pair', pair => init(flags(pair))],
    ['foreign files', pair => cpSync(import.meta.filename, join(pair, 'notes'))],
    ['half of a pair', pair => mkdirSync(join(pair, 'cluster'), { recursive: true })],
    ['a file', pair => writeFileSync(pair, 'mine')],
    ['a dangling link', pair => symlinkSync('/nowhere', pair)],
  ] as [string, (pair: string) => void][]) {
    const folder = scratchFolder()
    const pair = join(folder, 'pair')
    occupy(pair)
    const before = contents(folder)
    t.throws(() => init(flags(pair)), taken, what)
    t.same(contents(folder), before, `${what}: all as it was, and no draft stays`)
  }
})

function contents(folder: string): unknown[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).map(entry => [
    entry.parentPath,
    entry.name,
    entry.isFile() && readFileSync(join(entry.parentPath, entry.name), 'utf8'),
  ])
}

t.test('an empty folder is filled, missing ones above it are made', async t => {
  const folder = scratchFolder()
  mkdirSync(join(folder, 'empty'))
  init(flags(join(folder, 'empty')))
  init(flags(`${join(folder, 'a/b/c')}/`))
  t.same(filesIn(join(folder, 'empty')), everyFile)
  t.same(filesIn(join(folder, 'a/b/c')), everyFile)
})

t.test('a failure in the middle leaves nothing', async t => {
  const folder = scratchFolder()
  const files = new Map([
    ['a/b', ''],
    ['a/b/c', ''],
  ])
  t.throws(() => writeFolder(join(folder, 'pair'), files), { code: 'FOLDER' })
  t.same(readdirSync(folder), [])
})

t.test('a signal in the middle leaves no half and no draft', async t => {
  const folder = scratchFolder()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // tap adds to the NODE_OPTIONS of each child a module that handles signals itself; env takes it away again.
    const node = ['-i', process.execPath, '--input-type=module', '--eval', interrupted(signal)]
    const { status } = spawnSync('/usr/bin/env', node, { cwd: folder })
    t.equal(status, 0, signal)
    t.same(readdirSync(join(folder, signal)), ['a', 'b'])
  }
  t.same(readdirSync(folder).sort(), ['SIGHUP', 'SIGINT', 'SIGTERM'])
})

/** A program that gets a signal between two files of a folder of the signal's name. */
function interrupted(signal: string): string {
  return `import { writeFolder } from ${JSON.stringify(new URL('../../src/init/folder.ts', import.meta.url).href)}
    writeFolder('${signal}', (function* () {
      yield ['a', '']
      process.kill(process.pid, '${signal}')
      yield ['b', '']
    })())`
}

t.test('not the working folder, which the shell stands in', async t => {
  const folder = scratchFolder()
  const before = process.cwd()
  process.chdir(folder)
  t.teardown(() => process.chdir(before))
  t.throws(() => init(flags('.')), { code: 'FOLDER', message: '. is the working folder' })
  t.throws(() => init(flags(folder)), { code: 'FOLDER' })
  t.same(readdirSync(folder), [])
})

t.test('as another user', { skip: process.geteuid!() !== 0 && 'needs root' }, async t => {
  const folder = scratchFolder()
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, 'mine'), { mode: 0o777 })
  chmodSync(join(folder, 'mine'), 0o777)
  process.seteuid!(65534)
  try {
    t.throws(() => init(flags(join(folder, 'pair'))), {
      code: 'FOLDER',
      message: /pair cannot be written: EACCES/,
    })
    const text = init(flags(join(folder, 'mine/pair')))
    t.match(text, `sudo chown -R 0:0 ${folder}/mine/pair/gateway\nsudo docker run `)
  } finally {
    process.seteuid!(0)
  }
  t.notMatch(init(flags(join(folder, 'pair'))), 'chown')
})

t.test('the commands are those of the documents', async t => {
  const text = (args: string[]) => nextSteps(parsePair(args), everyFile, false)
  const steps = text(flags('.', '--forward', '8000-8010'))
  const inDocument = (name: string, pattern: RegExp) => pattern.exec(chart.read(name))![0]
  t.match(steps, inDocument('docs/gateway-docker.md', /^sudo chown .*$/m))
  t.match(steps, inDocument('docs/gateway-docker.md', /^sudo docker run -d [\s\S]*?[^\\]$/m))
  const helm = inDocument('docs/cluster-helm.md', /^helm .*$/m)
  t.match(steps.replaceAll('cluster/', ''), helm)
  for (const line of chart.read('docs/cluster-helm.md').match(/^kubectl (?:create|label) .*$/gm)!)
    t.match(steps, line)
  t.match(steps, 'Its firewall must let in 51820/udp, 443/tcp, 8000-8010/tcp.')
  t.match(steps, 'kubectl -n edge apply -f cluster/secret.yaml')
  t.notMatch(text(flags('x', '--inline')), 'secret.yaml &&')
})

t.test(
  'UDP: the ends agree on a form, and the target gets bare datagrams until a person says otherwise',
  async t => {
    const pair = join(scratchFolder(), 'pair')
    const steps = init(flags(pair, '--forward', '53:5353/udp', '--replicas', '2'))
    const { gateway, clusters } = await judged(t, pair, 2)
    const dns = ({ forwards }: Config) => forwards.find(({ name }) => name === 'udp-53')
    t.match(dns(gateway), { protocol: 'udp', acceptProxy: false, sendProxy: 'v2-every' })
    for (const cluster of clusters)
      t.match(dns(cluster), {
        protocol: 'udp',
        acceptProxy: 'v2-every',
        sendProxy: false,
        upstream: { targets: [{ host: 'traefik.dmz.svc', first: 5353 }] },
      })
    t.match(
      read(pair, 'cluster/values.yaml'),
      /# Bare datagrams; which sendProxy .*: docs\/udp\.md\n {4}udp-53: /,
    )
    t.match(steps, 'Its firewall must let in 51820/udp, 443/tcp, 53/udp.')
    t.match(steps, /PROXY protocol headers from the pods\.\nOver UDP .* docs\/udp\.md/)
    t.match(read(pair, 'cluster/values.yaml'), '  # The targets of TCP must expect')
    const alone = ['--endpoint', 'gw', '--forward', '53/udp', '--target', 'dns']
    const bare = join(scratchFolder(), 'pair')
    t.notMatch(init([bare, ...alone]), 'must expect')
    t.notMatch(read(bare, 'cluster/values.yaml'), 'must expect')
    t.notMatch(nextSteps(parsePair(flags('pair')), everyFile, false), 'Over UDP')
  },
)

t.test('paths stand in the commands as one word', async t => {
  const text = (folder: string) => nextSteps(parsePair(flags(folder)), everyFile, false)
  t.match(text('pair'), '-v ./pair/gateway:/etc/wg-punchhole:ro wg-punchhole')
  t.match(text('../pair'), '-v ../pair/gateway:')
  t.match(text('/srv/pair/'), '-v /srv/pair/gateway:')
  t.match(text("my pair's"), `sudo chown -R 0:0 'my pair'\\''s/gateway'`)
})

t.test('compose.yaml is that of the documents, with this folder mounted', async t => {
  const pair = join(scratchFolder(), 'pair')
  init(flags(pair))
  const documented = parse(chart.read('docs/compose.yaml').replace('./gateway:', '.:'))
  t.same(parse(read(pair, 'gateway/compose.yaml')), documented)
})
