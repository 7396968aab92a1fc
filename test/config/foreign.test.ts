import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { foreignFile } from '../../src/config/foreign.ts'
import { formatIssue } from '../../src/config/issue.ts'
import { loadConfig } from '../../src/config/load.ts'
import { own, peerA, quietHost, wgConf } from '../fixtures/config.ts'
import { everyday } from './wg-quick-files.ts'

/** A file that is something else as a whole gets one error: what it is, and what to do. */

const config = `tunnel: { wgConf: wg0.conf }
forwards:
  web: { listen: "tunnel:80", target: "web:80" }
`

/** What is said of these bytes in the place of one of the two files. */
async function linesOf(
  t: Test,
  place: 'config.yaml' | 'wg0.conf',
  content: string | Buffer,
): Promise<string[]> {
  const path = t.testdir({ 'config.yaml': config, 'wg0.conf': wgConf })
  writeFileSync(join(path, place), content)
  const { config: loaded, issues } = await loadConfig({ configFile: join(path, 'config.yaml') }, quietHost)
  t.equal(loaded, undefined, 'it is refused')
  return issues.map(issue => formatIssue(issue).replaceAll(`${path}/`, ''))
}

const amnezia = (more: string) => wgConf.replace('[Peer]', `${more}\n[Peer]`)
const openVpn = `client
dev tun
proto udp
remote vpn.example.com 1194
<ca>
-----BEGIN CERTIFICATE-----
MIIB
-----END CERTIFICATE-----
</ca>
`
const haproxy = `global
  daemon
defaults
  mode tcp
frontend https
  bind :443
  default_backend tunnel
backend tunnel
  server cluster 10.1.10.2:443 send-proxy-v2
`
const manifest = `apiVersion: v1
kind: Secret
metadata: { name: wg }
stringData:
  wg0.conf: |
${wgConf.replace(/^/gm, '    ')}`
const networkd = `[NetDev]
Name=wg0
Kind=wireguard
[WireGuard]
PrivateKey=${own.privateKey}
[WireGuardPeer]
PublicKey=${peerA}
AllowedIPs=10.1.10.2/32
`
const networkManager = `[connection]
id=wg0
type=wireguard
[wireguard]
private-key=${own.privateKey}
[wireguard-peer.${peerA}]
allowed-ips=10.1.10.2/32;
[ipv4]
address1=10.1.10.1/24
`
const page = '<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>…</body></html>\n'
const wgShow = `interface: wg0
  public key: ${peerA}
  private key: (hidden)
  listening port: 51820

peer: ${peerA}
  allowed ips: 10.1.10.2/32
`
const utf16 = (text: string) => Buffer.from(text, 'utf16le')
/** No letters, all bytes. */
const noise = Buffer.from(Array.from({ length: 2000 }, (_, i) => (i * 7919 + 131) % 256 || 1))

const asWgConf: [name: string, content: string | Buffer, says: RegExp][] = [
  [
    'AmneziaWG',
    amnezia('Jc = 4\nJmin = 40\nS1 = 86\nH1 = 1148\nI1 = <b 0xc1>'),
    /Jc, Jmin, S1, H1, I1: .*AmneziaWG; w.*plain WireGuard profile/,
  ],
  [
    'AmneziaWG that changes nothing',
    amnezia('Jc = 4\nS1 = 0\nH1 = 1\nH2 = 2'),
    /AmneziaWG; .*remove these keys/,
  ],
  ['an OpenVPN profile', openVpn, /a profile of OpenVPN; .*another protocol; make a WireGuard profile/],
  [
    'a .netdev',
    networkd,
    /systemd-networkd's file of a device; .*\[Interface\] and \[Peer\], .* of its \.network file/,
  ],
  ['a keyfile', networkManager, /NetworkManager's file of a connection; .*write its keys into \[Interface\]/],
  ['OpenWrt', `config interface 'wg0'\n\toption proto 'wireguard'\n`, /a config of OpenWrt/],
  ['MikroTik', '/interface wireguard\nadd listen-port=51820 name=wg0\n', /a script of MikroTik/],
  ['JSON', '{ "outbounds": [{ "type": "wireguard" }] }', /found JSON; .*make a WireGuard profile/],
  [
    'the account of wgcf',
    "access_token = 'x'\ndevice_id = 'y'\n",
    /the account of wgcf, .*name wgcf-profile.conf/,
  ],
  ['what wg show prints', wgShow, /what wg show prints, .*take the file in \/etc\/wireguard/],
  ['a Secret', manifest, /a manifest of Kubernetes; .*below its data/],
  [
    'base64',
    Buffer.from(wgConf).toString('base64').replace(/.{60}/g, '$&\n'),
    /base64, .*decode it: base64 -d/,
  ],
  ['a web page', page, /a web page; .*download it again, signed in/],
  ['a key alone', `${own.privateKey}\n`, /a key alone; .*behind PrivateKey = .*tunnel.privateKeyFile/],
  ['a key in PEM', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n', /certificate or key in PEM/],
  ['our config', config, /this program's config; .*--config/],
  ['a haproxy.cfg', haproxy, /a haproxy.cfg; .*wg-punchhole import/],
  ['nothing', '', /found nothing; .*wg-punchhole init/],
  ['comments alone', '# wg0\n\n# later\n', /found nothing; .*wg-punchhole init/],
  ['no sections', wgConf.replace(/^\[.*\n/gm, ''), /found keys without a section; .*\[Interface\] above/],
  ['prose', 'Dear customer,\nyour VPN = ready\nSincerely\n', /another kind of file; .*name the right file/],
  ['UTF-16', utf16(`\uFEFF${wgConf}`), /UTF-16, .*save it as UTF-8/],
  ['UTF-16 without a mark', utf16(wgConf), /UTF-16/],
  ['age', 'age-encryption.org/v1\n-> X25519 x\n', /an encrypted file; .*decrypt it first/],
  ['sops', wgConf.replace(own.privateKey, 'ENC[AES256_GCM,data:x,type:str]'), /an encrypted file/],
  ['ansible-vault', '$ANSIBLE_VAULT;1.1;AES256\n3364\n', /an encrypted file/],
  ['git-crypt', Buffer.concat([Buffer.from('\0GITCRYPT\0'), noise]), /an encrypted file/],
  ['noise', noise, /binary data; .*name the right file/],
  ['a QR code', Buffer.from('89504e470d0a1a0a', 'hex'), /a picture; .*copy its text/],
  ['an archive', Buffer.from('504b0304140000000800', 'hex'), /an archive; .*unpack it/],
  ['git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n', /git LFS .*git lfs pull/],
]

const asConfig: [name: string, content: string | Buffer, says: RegExp][] = [
  ['a wg-quick file', wgConf, /the wg-quick file; .*tunnel: {wgConf: wg0.conf}/],
  ['a haproxy.cfg', haproxy, /a haproxy.cfg; .*wg-punchhole import/],
  [
    'values of the chart',
    `image: { repository: x }\ntunnel: { existingSecret: wg }\nconfig:\n  forwards: {}\n`,
    /values of the Helm chart; .*below config:/,
  ],
  [
    'values, the tunnel first',
    'tunnel: { existingSecret: wg }\nconfig:\n  forwards: {}\n',
    /values of the Helm chart/,
  ],
  ['a ConfigMap', 'apiVersion: v1\nkind: ConfigMap\ndata: {}\n', /a manifest of Kubernetes/],
  ['a compose file', 'services:\n  wg-punchhole:\n    image: x\n', /a compose file; .*that it mounts/],
  ['a config of nginx', 'events {}\nstream {\n  server { listen 443; }\n}\n', /a config of nginx/],
  [
    'TOML',
    'serverAddr = "192.0.2.1"\nserverPort = 7000\n[[proxies]]\nname = "web"\n',
    /a TOML file; .*as YAML/,
  ],
  [
    'YAML of something else',
    'entryPoints: {}\nproviders: {}\nhttp: {}\na: 1\nb: 2\n',
    /the keys entryPoints, providers, http, a and more, .*name the right file/,
  ],
  [
    'JSON of something else',
    '{ "inbounds": [], "outbounds": [] }',
    /the keys inbounds, outbounds, of which none is/,
  ],
  ['a web page', page, /a web page/],
  ['a key alone', own.privateKey, /a key alone/],
  ['what wg show prints', wgShow, /what wg show prints/],
  ['nothing', '', /the file is empty; write at least tunnel/],
  ['UTF-16', utf16(`\uFEFF${config}`), /UTF-16/],
  ['noise', noise, /binary data/],
]

for (const [place, cases] of [
  ['wg0.conf', asWgConf],
  ['config.yaml', asConfig],
] as const)
  t.test(`in the place of ${place}`, async t => {
    for (const [name, content, says] of cases) {
      const lines = await linesOf(t, place, content)
      t.match(lines, [says], name)
      t.equal(lines.length, 1, `${name}: one error`)
      t.notOk(lines.join().includes(own.privateKey.slice(0, 8)), 'without the key')
      t.ok(lines[0]?.startsWith(`${place}:`), `${name}: ${lines[0]}`)
    }
  })

t.test('a folder in the place of a file', async t => {
  const path = t.testdir({ 'config.yaml': config, 'wg0.conf': {}, other: { 'wg0.conf': wgConf } })
  const lines = async (wg: string) => {
    const { issues } = await loadConfig(
      { configFile: join(path, 'config.yaml'), wgConf: join(path, wg) },
      quietHost,
    )
    return issues.map(formatIssue)
  }
  t.match(await lines('wg0.conf'), [
    /is an empty folder, .*docker: on the host, .*then make the container anew/,
  ])
  t.match(await lines('other'), [/is a folder; name a file in it/])
})

t.test('what is ours is not something else', async t => {
  for (const { name, text } of everyday) t.equal(foreignFile('wg-quick', text), undefined, name)
  const commented = `# client\n# dev tun\n# services:\n#!/bin/sh\n# <html> {"a": 1} H1 = 5\n${wgConf}PersistentKeepalive = 25 # S1 = 4\n`
  t.equal(foreignFile('wg-quick', commented), undefined)
  t.equal(foreignFile('wg-quick', `# caf\uFFFD\n${wgConf}`), undefined, 'a comment in Latin-1')
  t.equal(foreignFile('config', JSON.stringify({ tunnel: {}, forwards: {} })), undefined, 'JSON is YAML')
  for (const file of ['test/fixtures/known/*/config.yaml', 'docs/*.md'].flatMap(glob => globSync(glob))) {
    const text = readFileSync(file, 'utf8')
    const ours = file.endsWith('.md')
      ? [...text.matchAll(/```yaml\n(tunnel:.*?|forwards:.*?)```/gs)].map(m => m[1]!)
      : [text]
    for (const one of ours) t.equal(foreignFile('config', one), undefined, file)
  }
})

t.test('a large file is judged at once', async t => {
  const size = 1 << 20
  const start = process.cpuUsage()
  for (const piece of [
    '\n',
    ' ',
    '\t',
    'a',
    '[',
    '[ ',
    'a = ',
    'a\n',
    '# \n',
    'a: \n',
    '\uFFFD',
    ' \n',
    '{',
    '"',
    `${'A'.repeat(76)}\n`,
  ])
    for (const expected of ['config', 'wg-quick'] as const) {
      foreignFile(expected, piece.repeat(size / piece.length))
      foreignFile(expected, `[Interface]\n${piece.repeat(size / piece.length)}`)
    }
  const { user } = process.cpuUsage(start)
  t.ok(user < 20_000_000, `${user} µs of CPU time for 60 files of 1 MiB`)
})
