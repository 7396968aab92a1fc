import { randomBytes } from 'node:crypto'
import { own } from '../fixtures/config.ts'

/** Configs that cost their reader the most for their length, each at most so many characters long. */

/** As many pieces as fit. */
function filled(length: number, begin: string, piece: (index: number) => string, end = ''): string {
  const pieces: string[] = []
  let room = length - begin.length - end.length
  for (let index = 0; ; index++) {
    const next = piece(index)
    room -= next.length
    if (room < 0) return begin + pieces.join('') + end
    pieces.push(next)
  }
}

const forward = 'forwards:\n  a:\n    listen: "127.0.0.1:18080"\n    target: "127.0.0.1:80"\n'
const address = (index: number) => `${(index >> 16) & 255}.${(index >> 8) & 255}.${index & 255}`
const key = () => randomBytes(32).toString('base64')

/** Each is refused, whatever its length. */
export const refusedConfigs: Readonly<Record<string, (length: number) => string>> = {
  'wrong forwards': length => filled(length, 'forwards:\n', index => ` a${index}: 1\n`),
  'wrong forwards that are mappings': length => filled(length, 'forwards:\n', index => `  a${index}: {x}\n`),
  'unknown keys of one forward': length => filled(length, forward, index => `    k${index}: 1\n`),
  'unknown sections': length => filled(length, `log: {}\n`, index => `k${index}: 1\n`),
  'wrong targets': length => filled(length, `${forward}    routes: {"x.example": [`, () => 'x,', ']}\n'),
  'one key again and again': length => filled(length, 'forwards: {', () => 'a,', '}\n'),
  'keys of a flow': length => filled(length, 'forwards: {', index => `${index.toString(36)},`, '}\n'),
  'lists within lists': length => `forwards: ${'['.repeat(length / 2 - 10)}${']'.repeat(length / 2 - 10)}\n`,
  'mappings within mappings': length =>
    `forwards: ${'{a: '.repeat(length / 5 - 10)}1${'}'.repeat(length / 5 - 10)}\n`,
  'list items within list items': length => `${'- '.repeat(length / 2 - 1)}\n`,
  nonsense: length => filled(length, 'forwards: ', () => ': - [ { & * ! | > \' " % @ ` \n'),
  'punctuation without names': length => filled(length, 'forwards: ', () => ': - [ { ! | > " % @ ` \n'),
  anchors: length =>
    filled(length / 2, 'forwards:\n', index => `  a${index}: &a${index} {}\n`) +
    filled(length / 2, '', index => `  b${index}: *a${index}\n`),
  'an alias of many': length => {
    const list = filled(length / 2, `${forward}    allow: &a [`, index => `10.${address(index)},`, ']\n')
    const more = (index: number) =>
      `  b${index}: {listen: ":${20_000 + index}", target: "x:1", allow: *a, deny: 1}\n`
    return list + Array.from({ length: 90 }, (_, index) => more(index)).join('')
  },
  'one long key': length => `log: {}\nforwards: {"${'x'.repeat(length - 40)}": 1}\n`,
  'one long value': length => `log: {}\nforwards: ${'x'.repeat(length - 30)}\n`,
  'one long name that a tag has': length => `log: !${'x'.repeat(length - 30)} {}\n`,
  'empty lines': length => `log: 1\n${'\n'.repeat(length - 10)}`,
  'comments of nothing': length => `log: 1\n${'#\n'.repeat(length / 2 - 10)}`,
  'forwards that collide': length =>
    filled(length, 'forwards:\n', index => `  a${index}: {listen: "127.0.0.1:80", target: "x:80"}\n`),
  'targets that are there already': length =>
    filled(length, 'forwards: {a: {listen: ":1", target: [', () => '"10.0.0.1:80",', ']}}\n'),
}

/** Each is valid, and of the greatest size that is: such is taken. */
export const greatConfigs: Readonly<Record<string, () => string>> = {
  'listeners and targets': () =>
    filled(1 << 20, 'forwards:\n', index =>
      index >= 4000
        ? ' '.repeat(1 << 20)
        : `  forward-${index}:\n    listen: "127.0.0.1:${10_000 + index}"\n    target: "127.0.0.1:${20_000 + index}"\n`,
    ),
  prefixes: () =>
    filled(1 << 20, `${forward}    allow:\n`, index =>
      index >= 30_000 ? ' '.repeat(1 << 20) : `      - 10.${address(index)}/32\n`,
    ),
  'names of routes': () =>
    filled(1 << 20, `${forward}    routes:\n`, index =>
      index >= 10_000
        ? ' '.repeat(1 << 20)
        : `      n${index}.example.com: "127.0.0.1:${1 + (index % 1000)}"\n`,
    ),
}

const wgHead = `[Interface]\nAddress = 10.1.10.1\nPrivateKey = ${own.privateKey}\n`
const peer = () => `[Peer]\nPublicKey = ${key()}\n`

/** Of wg0.conf; each is refused, whatever its length. */
export const refusedWgConfs: Readonly<Record<string, (length: number) => string>> = {
  'lines of another kind': length => filled(length, wgHead, () => 'x\n'),
  'unknown keys': length => filled(length, wgHead, index => `a${index}=1\n`),
  'unknown sections': length => filled(length, wgHead, () => '[x]\n'),
  'peers without a key': length => filled(length, wgHead, () => '[Peer]\n'),
  'one peer again and again': length => {
    const twin = peer()
    return filled(length, wgHead, () => twin)
  },
  peers: length => filled(length, wgHead, () => peer()),
  'a prefix at each peer': length => filled(length, wgHead, () => `${peer()}AllowedIPs = 10.1.10.2/32\n`),
  prefixes: length => filled(length, `${wgHead}${peer()}AllowedIPs = `, index => `11.${address(index)}, `),
  'own addresses': length => filled(length, `${wgHead}Address = `, index => `11.${address(index)}/24, `),
  'one long line': length => `${wgHead}${'x'.repeat(length - 200)}\n`,
  'one long value': length => `${wgHead}MTU = ${'1'.repeat(length - 200)}\n`,
  'one long endpoint': length => `${wgHead}${peer()}Endpoint = ${'a.'.repeat(length / 2 - 200)}:1\n`,
}

/** What of a valid wg0.conf is the most: this many prefixes of a peer. */
export function manyPrefixes(count: number): string {
  return Array.from({ length: count }, (_, index) => `AllowedIPs = 11.${address(index)}/32\n`).join('')
}
