import type { Ledger } from './ledger.ts'
import { type Arities, arities, nameParams, type Param } from './params.ts'

/**
 * The flags that HAProxy keeps for the PROXY header of a server, `pp_opts` in its source: a header is sent where any is
 * set, v2 where `v2` is, else v1. So `no-send-proxy-v2` takes away v2 alone, and what belongs to v2 alone sends v1.
 * Each has the line that set it.
 */
export type ProxyFlags = ReadonlyMap<string, number>

const sets: Readonly<Record<string, readonly string[]>> = {
  'send-proxy': ['v1'],
  'send-proxy-v2': ['v2'],
  'send-proxy-v2-ssl': ['v2', 'ssl'],
  'send-proxy-v2-ssl-cn': ['v2', 'ssl', 'cert-cn'],
}

const OPTIONS = 'proxy-v2-options'

export const proxyArities: Arities = {
  ...arities({
    0: Object.keys(sets)
      .flatMap(name => [name, `no-${name}`])
      .join(' '),
  }),
  [OPTIONS]: 1,
}

/** The flags after one more parameter. */
export function changeFlags(
  flags: ProxyFlags,
  { name, values: [value = ''] }: Param,
  line: number,
): ProxyFlags {
  const set = (names: readonly string[]) => new Map([...flags, ...names.map(flag => [flag, line] as const)])
  if (name === OPTIONS) {
    const options = value.split(',')
    return set(options.some(option => /^cert-|^ssl-/.test(option)) ? [...options, 'ssl'] : options)
  }
  if (!name.startsWith('no-')) return set(sets[name]!)
  const cleared = sets[name.slice('no-'.length)]!
  return new Map([...flags].filter(([flag]) => !cleared.includes(flag)))
}

/** The header that a server gets. */
export function sendProxyOf(flags: ProxyFlags, ledger: Ledger): false | 'v1' | 'v2' {
  const others = [...flags].filter(([flag]) => flag !== 'v1' && flag !== 'v2')
  const line = Math.max(...others.map(([, line]) => line))
  const names = nameParams(others.map(([flag]) => flag))
  if (flags.has('v2') && others.length > 0)
    ledger.error(
      line,
      `found ${names} in the v2 header of a server, by proxy-v2-options or send-proxy-v2-ssl; what it tells beside the addresses is no choice here: write send-proxy-v2 alone`,
    )
  if (!flags.has('v2') && !flags.has('v1') && others.length > 0)
    ledger.warn(
      line,
      `found ${names} for a v2 header without send-proxy-v2: HAProxy sends a v1 header, and so does this`,
    )
  if (flags.has('v2')) return 'v2'
  return flags.size > 0 ? 'v1' : false
}
