import { found, type Severity, unknownName } from './issue.ts'

/**
 * The lines of a wg-quick file as sections of entries; what they mean is wg-conf.ts's.
 *
 * Two programs read such a file. wg-quick(8), a bash script, takes its own keys out of [Interface] (Address, MTU, Table
 * and what is never executed here) and hands the rest to wg(8), which removes every blank of a line before it looks at
 * it: `Public Key = …` and `[ Peer ]` are fine there, `[ Interface ]` is no section of wg-quick's.
 */
export interface Section extends Place {
  readonly name: 'Interface' | 'Peer'
  readonly entries: Entry[]
}

/** One `Key = value`, its key spelled as the manuals do; its place is the value's. */
export interface Entry extends Placed<string> {
  readonly key: string
}

/** Both from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

export interface Placed<T> extends Place {
  readonly value: T
}

export type Report = (severity: Severity, at: Place, key: string | undefined, message: string) => void

const sectionNames = ['Interface', 'Peer'] as const
const keysOfWg = {
  Interface: ['PrivateKey', 'ListenPort', 'FwMark'],
  Peer: ['PublicKey', 'PresharedKey', 'AllowedIPs', 'Endpoint', 'PersistentKeepalive'],
}
const keysOfWgQuick = { Interface: ['Address', 'MTU', 'Table'], Peer: [] }
const neverExecuted = ['DNS', 'PreUp', 'PostUp', 'PreDown', 'PostDown', 'SaveConfig']

/** Lines that are none, unknown sections and unknown keys are reported and left out. */
export function readSections(text: string, report: Report): Section[] {
  const sections: Section[] = []
  const warned = new Set<string>()
  let open: OpenSection | 'unknown' | undefined
  for (const [index, line] of text.split('\n').entries()) {
    const code = line.replace(/#.*$/s, '')
    const content = trimmed(code)
    if (content === '') continue
    const at = { line: index + 1, column: code.indexOf(content) + 1 }
    if (!content.startsWith('[')) {
      readLine(content, at, open, report, warned)
      continue
    }
    open = openSection(content, at, report)
    if (open !== 'unknown') sections.push(open)
  }
  return sections
}

interface OpenSection extends Section {
  /** wg-quick takes its own keys out of it. */
  readonly isWgQuicks: boolean
}

function openSection(content: string, at: Place, report: Report): OpenSection | 'unknown' {
  const written = withoutBlanks(content).replace(/^\[|\]$/g, '')
  const name = content.endsWith(']') ? spelled(written, sectionNames) : undefined
  if (name !== undefined)
    return { ...at, name, entries: [], isWgQuicks: content.toLowerCase() === '[interface]' }
  report('error', at, undefined, `${found(content)}; ${unknownName('section', written, sectionNames)}`)
  return 'unknown'
}

/** @param warned the keys of what is never executed that were named before. */
function readLine(
  content: string,
  at: Place,
  section: OpenSection | 'unknown' | undefined,
  report: Report,
  warned: Set<string>,
): void {
  const equals = content.indexOf('=')
  const written = trimmed(content.slice(0, Math.max(equals, 0)))
  const value = trimmed(content.slice(equals + 1))
  const { own, key, hook } = keyOf(written, section)
  // Not quoted: it may be a key on a line of its own, or the rest of one that was broken in two.
  if (equals < 0 || (key === undefined && hook === undefined && !isLikelyKey(written, value)))
    report('error', at, undefined, 'found a line of another kind; allowed: [Section], Key = value, # comment')
  else if (section === undefined)
    report('error', at, written, 'found outside a section; write [Interface] or [Peer] above it')
  else if (section === 'unknown') return
  else if ((own ?? hook) !== undefined && !section.isWgQuicks)
    report(
      'error',
      at,
      `Interface.${own ?? hook}`,
      "found below a section whose name has blanks in it, which is not wg-quick's; write [Interface]",
    )
  else if (key !== undefined)
    section.entries.push({ key, value, line: at.line, column: at.column + content.length - value.length })
  else if (hook === undefined)
    report('error', at, `${section.name}.${written}`, unknownName('key', written, keysOf(section.name)))
  else if (!warned.has(hook)) {
    warned.add(hook)
    report(
      'warning',
      at,
      `Interface.${hook}`,
      `${hook} is never executed; remove it, and do in another way what it does`,
    )
  }
}

/** `own`: a key of wg-quick's; `key`: that or one of wg's; `hook`: one that is never executed. */
function keyOf(
  written: string,
  section: OpenSection | 'unknown' | undefined,
): Partial<Record<'own' | 'key' | 'hook', string>> {
  if (section === undefined || section === 'unknown') return {}
  const own = spelled(written, keysOfWgQuick[section.name])
  const key = own ?? spelled(withoutBlanks(written), keysOfWg[section.name])
  const hook = section.name === 'Interface' ? spelled(written, neverExecuted) : undefined
  return { ...(own && { own }), ...(key && { key }), ...(hook && { hook }) }
}

/** What is before `=` may be shown when it looks like a key of somebody's, and something is behind it. */
function isLikelyKey(written: string, value: string): boolean {
  return /^[a-z][a-z0-9]{0,29}$/i.test(written) && value !== ''
}

function keysOf(section: Section['name']): string[] {
  return [...keysOfWgQuick[section], ...keysOfWg[section]]
}

function spelled<T extends string>(name: string, known: readonly T[]): T | undefined {
  return known.find(candidate => candidate.toLowerCase() === name.toLowerCase())
}

/** Blanks as C has them: String.trim would take a no-break space, too, which neither program does. */
const blanks = ' \t\v\f\r'

export function trimmed(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && blanks.includes(text[start]!)) start++
  while (end > start && blanks.includes(text[end - 1]!)) end--
  return text.slice(start, end)
}

/** What wg(8) makes of a line, or of a part of one. */
export function withoutBlanks(text: string): string {
  return text.replace(/[ \t\v\f\r]/g, '')
}
