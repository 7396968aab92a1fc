import { chmod, chown, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'

/** What `run` says of a config that is wrong, and that it has touched nothing by then. */
const lab = await Lab.create(`b${process.pid}`)
t.teardown(() => lab.close())
const host = await lab.host('end')
await chmod(lab.folder, 0o755)

const keys = keyPairs()
const name = `${lab.id}w`
const wgConf = `[Interface]
Address = 10.1.10.1
PrivateKey = ${keys.gateway.privateKey}
[Peer]
PublicKey = ${keys.cluster.publicKey}
AllowedIPs = 10.1.10.2/32
`
const web = 'forwards: { web: { listen: ":80", target: "10.1.10.2:80" } }\n'
const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${name} }\n`

const withoutOverride = [
  'setpriv',
  '--bounding-set',
  '-dac_override,-dac_read_search',
  '--inh-caps',
  '-dac_override,-dac_read_search',
]

interface Case {
  readonly config?: string
  readonly wgConf?: string
  /** Changes the files before the start. */
  readonly prepare?: (folder: string) => Promise<void>
  readonly wrapper?: readonly string[]
  /** Everything that is printed, in this order; `%` is the folder. */
  readonly says: readonly (string | RegExp)[]
}

const cases: Readonly<Record<string, Case>> = {
  'a missing wg-quick file': {
    config: tunnel.replace('wg0', 'wg1') + web,
    says: [
      '%/config.yaml:1:19: error: tunnel.wgConf: %/wg1.conf does not exist; make it or correct the path',
    ],
  },
  'a missing key file': {
    config: tunnel.replace('}', ', privateKeyFile: key }') + web,
    says: [/^%\/config\.yaml:1:\d+: error: tunnel\.privateKeyFile: %\/key does not exist; make it or/],
  },
  "a key file of another owner, with root's right to read everything taken away": {
    config: tunnel.replace('}', ', privateKeyFile: key }') + web,
    async prepare(folder) {
      await writeFile(join(folder, 'key'), keys.gateway.privateKey, { mode: 0o600 })
      await chown(join(folder, 'key'), 65534, 65534)
    },
    wrapper: withoutOverride,
    says: [/tunnel\.privateKeyFile: %\/key may not be read: .*; run chown 0:0 %\/key/],
  },
  'a bad key': {
    wgConf: wgConf.replace(keys.gateway.privateKey, `${keys.gateway.privateKey.slice(0, 42)}A`),
    says: [/^%\/wg0\.conf:3:14: error: Interface\.PrivateKey: found something that is no key; allowed: /],
  },
  'a key whose last character carries more than its four bits': {
    wgConf: wgConf.replace(keys.cluster.publicKey, `${keys.cluster.publicKey.slice(0, 42)}B=`),
    says: [/^%\/wg0\.conf:5:13: error: Peer\.PublicKey: /],
  },
  'listeners that collide': {
    config: `${tunnel}forwards:
  all: { listen: ":80", target: "10.1.10.2:80" }
  mine: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  admin: { listen: "127.0.0.1:9000-9600", target: "10.1.10.2:9000-9600" }
`,
    says: [
      /^%\/config\.yaml:.* error: admin\.listen: found port 9586 .*forwards\.admin\.listen/,
      /^%\/config\.yaml:4:\d+: error: forwards\.mine\.listen: found port 80 .*forwards\.all\.listen/,
    ],
  },
  'AllowedIPs that cover the endpoint': {
    wgConf: `${wgConf.replace('10.1.10.2/32', '198.51.0.0/16')}Endpoint = 198.51.100.1:51820\n`,
    says: [/^%\/wg0\.conf:6:14: error: Peer\.AllowedIPs: .*covers the peer's endpoint.*narrow it/],
  },
  'an unknown key, one of a later version, and all errors at once': {
    config: `${tunnel.replace(' }', ', mode: netstack }')}forwards: { web: { listen: ":80", target: "10.1.10.2:80", lisen: 1 } }
adminn: { listen: ":1" }
`,
    says: [
      /^%\/config\.yaml:1:\d+: error: tunnel\.mode: not supported yet/,
      /^%\/config\.yaml:2:\d+: error: forwards\.web\.lisen: unknown key; did you mean listen\?/,
      /^%\/config\.yaml:3:1: error: adminn: unknown key; did you mean admin\?/,
    ],
  },
  'YAML that is none': {
    config: `${tunnel}forwards: { web: { listen: ":80"\n`,
    says: [/^%\/config\.yaml:3:1: error: /, /^%\/config\.yaml:3:1: error: /],
  },
}

for (const [
  what,
  { config = tunnel + web, wgConf: conf = wgConf, prepare, wrapper = [], says },
] of Object.entries(cases))
  t.test(what, async t => {
    const folder = await endFolder(lab, 'end', { config, wgConf: conf })
    await prepare?.(folder)
    // Without its rights it could write no coverage.
    const env = wrapper.length > 0 ? { NODE_V8_COVERAGE: '' } : {}
    const end = startEnd(host, folder, { wrapper, env })
    t.strictSame(await end.exited, { code: 3, signal: null })
    const lines = end.lines.map(line => line.replaceAll(folder, '%'))
    t.match(lines, says)
    t.equal(lines.length, says.length)
    t.notMatch(await host.exec('ip', 'link', 'show'), name, 'no interface was made')
  })

t.test('what is only unwise is a warning, and runs', async t => {
  const folder = await endFolder(lab, 'end', {
    config: tunnel + web,
    wgConf: wgConf.replace('10.1.10.2/32', '0.0.0.0/0, 10.1.10.2/32'),
  })
  await chmod(join(folder, 'wg0.conf'), 0o644)
  const end = startEnd(host, folder)
  await end.logged(line => line.msg === 'running')
  const warnings = end.log.filter(line => line.msg === 'config warning').map(line => line.warning)
  t.match(warnings, [
    /wg0\.conf:6:14: warning: Peer\.AllowedIPs: found 0\.0\.0\.0\/0, shorter than \/8: it is neither routed nor trusted/,
    new RegExp(`^${folder}/wg0.conf: warning: .*everyone on this host may read; run chmod 600`),
  ])
  t.equal(await host.exec('ip', 'route', 'show', 'default'), '', 'the default route is not ours')
  t.match(await host.exec('ip', 'route', 'show', '10.1.10.2'), name)
  await end.stop()
  t.equal((await end.exited).code, 0)
})

t.test('no key in anything that was printed', async t => {
  t.match(lab.output, 'PrivateKey', 'there is something to look through')
  for (const { privateKey } of Object.values(keys))
    for (const text of [privateKey.slice(0, 42), Buffer.from(privateKey, 'base64').toString('hex')])
      t.notOk(lab.output.includes(text))
})
