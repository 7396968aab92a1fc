import { listed } from './issue.ts'
import { isKey } from './keys.ts'

/**
 * A file that is something else as a whole: a profile of another VPN, a login page that was downloaded in its place,
 * the one of our two files where the other belongs. What follows from that line by line helps nobody, so it gets one
 * error, which says what the file is and what to do.
 */
export interface Foreign {
  /** From 1; 0 when it is about the whole file. */
  readonly line: number
  readonly message: string
}

export type Expected = 'config' | 'wg-quick'

interface Kind {
  readonly what: string
  readonly is: (text: string) => boolean
  /** What to do where the one or the other file belongs; a kind without it is fine there. */
  readonly config?: string
  readonly 'wg-quick'?: string
}

const allowed = {
  config: "this program's config in YAML",
  'wg-quick': 'a wg-quick file, with [Interface] and [Peer] in it',
}

/** `undefined`: it may well be what is expected. */
export function foreignFile(expected: Expected, text: string): Foreign | undefined {
  const clean = text.replace(/^\uFEFF/, '')
  const kind = kinds.find(kind => kind[expected] !== undefined && kind.is(clean))
  if (kind !== undefined)
    return { line: 0, message: `found ${kind.what}; allowed: ${allowed[expected]}; ${kind[expected]}` }
  return expected === 'wg-quick' ? amneziaWg(clean) : undefined
}

/** Both files may be of this kind by mistake, and the way out is the same. */
const both = (what: string, is: Kind['is'], fix: string): Kind => ({ what, is, config: fix, 'wg-quick': fix })
const onlyConfig = (what: string, is: Kind['is'], config: string): Kind => ({ what, is, config })
const onlyWg = (what: string, is: Kind['is'], fix: string): Kind => ({ what, is, 'wg-quick': fix })

/** At least this many of the patterns are somewhere in the text. */
function has(count: number, ...patterns: RegExp[]): Kind['is'] {
  return text => patterns.filter(pattern => pattern.test(text)).length >= count
}

const DECRYPT = 'decrypt it first'
const DOWNLOAD = 'download it again, signed in, or copy its text'
const OTHER_PROTOCOL = 'that is another protocol; make a WireGuard profile where this one is from'
const AS_WG_QUICK =
  "write its keys into [Interface] and [Peer], as wg-quick(8) has them, with this end's Address"

/** The first that fits is it. Read as UTF-8: a byte that is none has become U+FFFD. */
const kinds: readonly Kind[] = [
  both(
    'text in UTF-16, as > of an older PowerShell writes it',
    has(1, /^\uFFFD\uFFFD[^\0]?\0/, /^[^\0]\0[^\0]\0/, /^\0[^\0]\0/),
    'save it as UTF-8',
  ),
  both(
    'an encrypted file',
    has(
      1,
      /^age-encryption\.org\//,
      /^-----BEGIN (AGE ENCRYPTED FILE|PGP MESSAGE)-----/,
      /^\$ANSIBLE_VAULT;/,
      /^\0GITCRYPT\0/,
      /^(Salted__|U2FsdGVkX1)/,
      /^[^#\n]*[:=][ \t]*ENC\[AES256_GCM,/m,
    ),
    DECRYPT,
  ),
  both('a picture', has(1, /^\uFFFDPNG/, /^.{2,8}JFIF/), 'read the QR code in it, and copy its text'),
  both('an archive', has(1, /^PK\x03\x04/, /^\x1f\uFFFD/), 'unpack it, and name the file that was in it'),
  both('binary data', isBinary, 'name the right file'),
  both(
    'the pointer that git LFS keeps in place of a file',
    has(1, /^version https:\/\/git-lfs\./),
    'run git lfs pull',
  ),
  both('a web page', has(1, /^\s*<(!doctype|html|head|script|\?xml)/i), DOWNLOAD),
  both('a certificate or key in PEM', has(1, /^-----BEGIN [A-Z0-9 ]+-----/), 'name the right file'),
  onlyWg(
    'a key alone',
    text => isKey(text.trim()),
    'write it behind PrivateKey = in [Interface], or name its file in tunnel.privateKeyFile',
  ),
  onlyConfig('a key alone', text => isKey(text.trim()), 'name its file in tunnel.privateKeyFile'),
  both('base64, as Kubernetes shows what is in a Secret', isEncoded, 'decode it: base64 -d'),
  both(
    'a manifest of Kubernetes',
    has(2, /^apiVersion:/m, /^kind:/m),
    'name a file with what is below its data, or mount that as a volume',
  ),
  both('a compose file', has(1, /^services:[ \t\r]*$/m), 'name the file that it mounts'),
  both(
    'what wg show prints, which has no keys in it',
    has(2, /^interface: \S+[ \t\r]*$/m, /^ {2}(public key|listening port): /m, /^peer: \S+[ \t\r]*$/m),
    'take the file in /etc/wireguard that wg-quick is started with',
  ),
  both(
    'a haproxy.cfg',
    has(
      2,
      /^[ \t]*(global|defaults)[ \t\r]*(#.*)?$/m,
      /^[ \t]*(frontend|listen) \S+/m,
      /^[ \t]*backend \S+/m,
    ),
    'turn it into a config: wg-punchhole import FILE',
  ),
  both(
    'a config of nginx',
    has(1, /^[ \t]*(events|http|stream|server)[ \t]*\{/m),
    'write its forwards by hand',
  ),
  both(
    'a profile of OpenVPN',
    has(
      2,
      /^client[ \t\r]*$/m,
      /^dev tun/m,
      /^remote \S+/m,
      /^<ca>/m,
      /^proto (udp|tcp)/m,
      /^auth-user-pass/m,
    ),
    OTHER_PROTOCOL,
  ),
  both(
    "systemd-networkd's file of a device",
    has(1, /^\[(NetDev|WireGuard|WireGuardPeer|Match|Network)\]/m),
    `${AS_WG_QUICK} of its .network file`,
  ),
  both(
    "NetworkManager's file of a connection",
    has(1, /^\[(connection|wireguard|wireguard-peer\.[^\]]*)\]/m),
    AS_WG_QUICK,
  ),
  both('a config of OpenWrt', has(1, /^config (interface|wireguard_\w+)/m), AS_WG_QUICK),
  both('a script of MikroTik', has(1, /^\/interface[ /]wireguard/m), AS_WG_QUICK),
  both(
    'the account of wgcf, not its profile',
    has(2, /^access_token[ \t]*=/m, /^device_id[ \t]*=/m),
    'run wgcf generate, and name wgcf-profile.conf',
  ),
  onlyWg('JSON', isJson, 'make a WireGuard profile where this one is from'),
  onlyConfig(
    'the wg-quick file',
    has(1, /^[ \t]*\[[ \t]*(Interface|Peer)[ \t]*\]/im),
    'name it in a config.yaml: tunnel: {wgConf: wg0.conf}',
  ),
  onlyConfig(
    'values of the Helm chart',
    has(2, /^config:/m, /^(image|tunnel|replicas|service|resources):/m),
    'what belongs here is what stands below config:, and the chart puts it here by itself',
  ),
  onlyWg(
    "this program's config",
    text => !hasSection(text) && has(1, /^(tunnel|forwards)[ \t]*:/m)(text),
    'name it with --config, and in it the wg-quick file: tunnel: {wgConf: wg0.conf}',
  ),
  onlyConfig(
    'a TOML file',
    has(2, /^\[\[?[\w.]+\]\]?[ \t\r]*$/m, /^\w+[ \t]*=\s*["\d]/m),
    'write it as YAML',
  ),
  onlyWg(
    'nothing',
    text => text.replace(/#.*$/gm, '').trim() === '',
    'write it, or let wg-punchhole init do so; an empty file is also what a failed copy leaves',
  ),
  onlyWg(
    'keys without a section',
    text => !hasSection(text) && has(1, /^[ \t]*(Address|PrivateKey|PublicKey)[ \t]*=/im)(text),
    'write [Interface] above the first of them, and [Peer] above those of each peer',
  ),
  onlyWg('another kind of file', text => !hasSection(text), 'name the right file'),
]

function hasSection(text: string): boolean {
  return /^[ \t]*\[[ \t]*(Interface|Peer)[ \t]*\]/im.test(text)
}

/** A comment in another encoding than UTF-8 has some bytes that are none, an encrypted file has little else. */
function isBinary(text: string): boolean {
  const start = text.slice(0, 4096)
  return text.includes('\0') || (start.match(/\uFFFD/g) ?? []).length > start.length / 10
}

/** Base64 of one of our two files. */
function isEncoded(text: string): boolean {
  const packed = text.replace(/\s/g, '')
  if (!/^[A-Za-z0-9+/]{16,}={0,2}$/.test(packed)) return false
  return has(
    1,
    /^[ \t]*\[(Interface|Peer)\]/im,
    /^(tunnel|forwards):/m,
  )(Buffer.from(packed, 'base64').toString())
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

/** The keys with which AmneziaWG changes what its packets look like. With some values it changes nothing. */
function amneziaWg(text: string): Foreign | undefined {
  const lines = text.split('\n')
  const found = lines.flatMap((line, index) => {
    const [, key, value = ''] =
      /^\s*(J(?:c|min|max|[1-3])|S[1-4]|H[1-4]|I[1-5]|Itime)\s*=\s*([^#\s]*)/i.exec(line) ?? []
    return key === undefined ? [] : [{ key, value, line: index + 1 }]
  })
  if (found[0] === undefined) return undefined
  const changes = found.some(({ key, value }) =>
    /^s/i.test(key) ? Number(value) !== 0 : /^h/i.test(key) && value !== key.slice(1),
  )
  const fix = changes
    ? 'wireguard-go does not understand that protocol, nor does that server understand WireGuard; make a plain WireGuard profile there'
    : 'with these values its packets are those of WireGuard: remove these keys'
  const keys = listed(found.map(({ key }) => key))
  return { line: found[0].line, message: `found ${keys}: a profile of AmneziaWG; ${fix}` }
}
