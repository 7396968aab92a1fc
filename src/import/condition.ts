/** What an `acl`, or the words between braces, asks of a connection: only what a forward can ask, too. */
export interface Criterion {
  readonly kind: 'source' | 'name'
  /** Prefixes of the source address, or names of TLS SNI, those with `*.` in front for all below one. */
  readonly values: readonly string[]
  readonly lines: readonly number[]
}

export interface Condition extends Criterion {
  /** `unless`, or a `!` before it. */
  readonly negated: boolean
}

export type Acls = ReadonlyMap<string, Criterion>

/**
 * `src 10.0.0.0/8 192.0.2.1`, `req.ssl_sni -i www.example.com`, `req.ssl_sni -m end .example.com`; `undefined` when a
 * forward cannot ask this.
 */
export function readCriterion(words: readonly string[], line: number): Criterion | undefined {
  const [fetch, ...rest] = words
  if (fetch === 'src') return areValues(rest) ? { kind: 'source', values: rest, lines: [line] } : undefined
  if (!isServerName(fetch)) return undefined
  const { isEnd, values } = readMatch(rest)
  // Without a dot in front, the end of a name is also that of quite other names.
  if (!areValues(values) || (isEnd && values.some(value => !value.startsWith('.')))) return undefined
  return { kind: 'name', values: isEnd ? values.map(value => `*${value}`) : values, lines: [line] }
}

/** Names of TLS know no case, so `-i` makes no difference. */
function readMatch(words: readonly string[]): { isEnd: boolean; values: readonly string[] } {
  if (words[0] === '-i') return readMatch(words.slice(1))
  if (words[0] !== '-m') return { isEnd: false, values: words }
  const { values } = readMatch(words.slice(2))
  return words[1] === 'end' || words[1] === 'str' ? { isEnd: words[1] === 'end', values } : noMatch
}

const noMatch = { isEnd: false, values: [] }

function areValues(values: readonly string[]): boolean {
  return values.length > 0 && !values.some(value => /^[-!]|^$/.test(value))
}

function isServerName(fetch: string | undefined): boolean {
  return fetch === 'req.ssl_sni' || fetch === 'req_ssl_sni'
}

/** `if { src … }`, `unless NAME`, `if !NAME`: one criterion. `undefined` for anything that combines several. */
export function readCondition(words: readonly string[], line: number, acls: Acls): Condition | undefined {
  const [keyword, ...rest] = words
  if (keyword !== 'if' && keyword !== 'unless') return undefined
  const [first = '', ...others] = rest
  const isInverted = first.startsWith('!')
  const term = [...(isInverted ? [first.slice(1)] : [first]), ...others].filter(word => word !== '')
  const negated = (keyword === 'unless') !== isInverted
  if (term[0] === '{' && term.indexOf('}') === term.length - 1) {
    const criterion = readCriterion(term.slice(1, -1), line)
    return criterion && { ...criterion, negated }
  }
  const acl = term.length === 1 ? acls.get(term[0]!) : undefined
  return acl && { ...acl, lines: [...acl.lines, line], negated }
}
