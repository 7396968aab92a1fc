/** What resolv.conf(5) says of names. */
export interface ResolvConf {
  /** Whether it names a name server. */
  readonly hasServer: boolean
  /** Domains, without a dot at the end. */
  readonly search: readonly string[]
  /** A name with fewer dots than this is tried along the search list first. */
  readonly ndots: number
}

/** Bytes of a name in text form, without the dot at its end; RFC 1035 section 2.3.4. */
const longestName = 253
/** What the C library makes of a larger one. */
const mostDots = 15

export function parseResolvConf(text: string): ResolvConf {
  let [hasServer, search, ndots]: [boolean, string[], number] = [false, [], 1]
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*/, '')
      .trim()
      .split(/\s+/)
    if (keyword === 'nameserver') hasServer ||= words.length > 0
    // The last of these lines counts.
    if (keyword === 'search' || keyword === 'domain')
      search = words.filter(domain => domain !== '.').map(domain => domain.replace(/\.$/, ''))
    if (keyword !== 'options') continue
    for (const word of words) if (/^ndots:\d+$/.test(word)) ndots = Math.min(Number(word.slice(6)), mostDots)
  }
  return { hasServer, search, ndots }
}

/** The names to ask for, in order, without a dot at their end. A host with one is asked for as it stands, and nothing else is. */
export function candidates(host: string, { search, ndots }: ResolvConf): string[] {
  if (host.endsWith('.')) return [host.slice(0, -1)]
  const along = search.map(domain => `${host}.${domain}`).filter(({ length }) => length <= longestName)
  return host.split('.').length - 1 >= ndots ? [host, ...along] : [...along, host]
}
