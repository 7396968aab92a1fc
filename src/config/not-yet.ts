/**
 * What the config language has room for and this version cannot do. Such a key is refused by name:
 * accepted and ignored, it would promise a limit or a filter that is not there.
 */
const notYet: readonly { key: string; when?: (value: unknown) => boolean; instead: string }[] = [
  {
    key: 'tunnel.mode',
    when: value => value === 'netstack',
    instead: 'leave it out, the tunnel is a TUN device (tun)',
  },
]

/** What to do in the place of this key with this value, when it is one that this version cannot serve. */
export function insteadOf(path: readonly string[], value: unknown): string | undefined {
  const key = path.map((part, depth) => (depth === 1 && path[0] === 'forwards' ? '*' : part)).join('.')
  const entry = notYet.find(entry => entry.key === key)
  return entry !== undefined && (entry.when?.(value) ?? true) ? entry.instead : undefined
}
