import { visible } from '../text/visible.ts'

export type Severity = 'error' | 'warning'

/** What is wrong with a config, and where. One is never thrown: a person wants all of them at once. */
export interface Issue {
  /** A config with an error is refused as a whole; one with warnings runs. */
  readonly severity: Severity
  /** The file as it was named, or the flag (`--admin`) that the value came from. */
  readonly file: string
  /** From 1; 0 when the issue is about the file as a whole or about a flag. */
  readonly line: number
  /** From 1; 0 as for `line`, and where the line is enough. */
  readonly column: number
  /** `forwards.web.listen`, `Peer.AllowedIPs`. */
  readonly key?: string
  /** What was found; what is allowed; what to do. Never a key's value. */
  readonly message: string
}

/** Characters of a part of a line: whatever a file holds, a line can be read, and a log keeps it. */
const longestKey = 300
const longestMessage = 600

/** `file:line:column: error: key: message`, without the parts that the issue does not have; one line of bounded length. */
export function formatIssue({ severity, file, line, column, key, message }: Issue): string {
  const place = [file, line, column].filter(part => part !== 0).join(':')
  const about = key === undefined ? '' : `${shortened(key, longestKey)}: `
  return visible(`${place}: ${severity}: ${about}${shortened(message, longestMessage)}`)
}

/** The text, or its first characters and `…`. */
export function shortened(text: string, most = 60): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}

/** A list as it may stand in a message, which is no place for thousands. */
export function listed(items: readonly string[], most = 10): string {
  const more = items.length - most
  return more > 0 ? `${items.slice(0, most).join(', ')} and ${more} more` : items.join(', ')
}

/** A value as it may stand in a message: quoted, shortened, on one line. */
export function found(value: unknown): string {
  if (value === null || value === undefined || value === '') return 'found nothing'
  if (Array.isArray(value)) return 'found a list'
  if (typeof value === 'object') return 'found a mapping'
  const short = shortened(String(value))
  return `found ${typeof value === 'string' ? JSON.stringify(short) : short}`
}

/** `unknown key; allowed: a, b` with the nearest of the allowed names first, when it is likely a typo. */
export function unknownName(what: string, name: string, allowed: readonly string[]): string {
  const near = nearest(name, allowed)
  const hint = near === undefined ? '' : `did you mean ${near}? `
  return `unknown ${what}; ${hint}allowed: ${allowed.join(', ')}`
}

/** The one of the allowed names that this is likely a typo of. */
export function nearest(name: string, allowed: readonly string[]): string | undefined {
  if (name.length > 40) return undefined
  const limit = name.length < 5 ? 1 : 2
  const ranked = allowed.map(candidate => ({
    candidate,
    distance: editDistance(name.toLowerCase(), candidate.toLowerCase()),
  }))
  return ranked.filter(({ distance }) => distance <= limit).sort((a, b) => a.distance - b.distance)[0]
    ?.candidate
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++)
      next.push(Math.min(row[j]! + (a[i] === b[j] ? 0 : 1), row[j + 1]! + 1, next[j]! + 1))
    row = next
  }
  return row[b.length]!
}
