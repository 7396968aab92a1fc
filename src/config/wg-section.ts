import { found, type Issue, unknownName } from './issue.ts'

/** The lines of a wg-quick file as sections of entries; what they mean is wg-conf.ts's. */
export interface Section extends Place {
  readonly name: 'Interface' | 'Peer'
  readonly entries: Entry[]
}

/** One `Key = value`, its key spelled as wg(8) does; its place is the value's. */
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

export type Report = (
  severity: Issue['severity'],
  at: Place,
  key: string | undefined,
  message: string,
) => void

const sectionNames = ['Interface', 'Peer'] as const
const knownKeys = {
  Interface: ['Address', 'PrivateKey', 'ListenPort', 'MTU', 'FwMark', 'Table'],
  Peer: ['PublicKey', 'PresharedKey', 'AllowedIPs', 'Endpoint', 'PersistentKeepalive'],
}
const neverExecuted = ['DNS', 'PreUp', 'PostUp', 'PreDown', 'PostDown', 'SaveConfig']

/** Lines that are none, unknown sections and unknown keys are reported and left out. */
export function readSections(text: string, report: Report): Section[] {
  const sections: Section[] = []
  const warned = new Set<string>()
  let section: Section | 'unknown' | undefined
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const code = line.replace(/#.*$/, '').trimEnd()
    if (code === '') continue
    const content = code.trimStart()
    const at = { line: index + 1, column: code.length - content.length + 1 }
    if (content.startsWith('[')) {
      const written = content.replace(/^\[\s*|\s*\]$/g, '')
      const name = spelled(written, sectionNames)
      section = name === undefined ? 'unknown' : { ...at, name, entries: [] }
      if (section !== 'unknown') sections.push(section)
      else
        report('error', at, undefined, `${found(content)}; ${unknownName('section', written, sectionNames)}`)
      continue
    }
    const equals = content.indexOf('=')
    const key = content.slice(0, Math.max(equals, 0)).trimEnd()
    const value = content.slice(equals + 1).trimStart()
    const known = section && section !== 'unknown' ? spelled(key, knownKeys[section.name]) : undefined
    // Not quoted: it may be a key on a line of its own, or the rest of one that was broken in two.
    if (!/^[a-z]{1,30}$/i.test(key) || (value === '' && known === undefined))
      report(
        'error',
        at,
        undefined,
        'found a line of another kind; allowed: [Section], Key = value, # comment',
      )
    else if (section === undefined)
      report('error', at, key, 'found outside a section; write [Interface] or [Peer] above it')
    else if (section !== 'unknown') {
      const entry = { value, line: at.line, column: code.length - value.length + 1 }
      if (known !== undefined) section.entries.push({ ...entry, key: known })
      else reportUnknown(section.name, key, at, warned, report)
    }
  }
  return sections
}

function reportUnknown(
  section: Section['name'],
  key: string,
  at: Place,
  warned: Set<string>,
  report: Report,
): void {
  const hook = section === 'Interface' ? spelled(key, neverExecuted) : undefined
  if (hook === undefined)
    report('error', at, `${section}.${key}`, unknownName('key', key, knownKeys[section]))
  else if (!warned.has(hook)) {
    warned.add(hook)
    report(
      'warning',
      at,
      `${section}.${hook}`,
      `${hook} is never executed; remove it, and do in another way what it does`,
    )
  }
}

function spelled<T extends string>(name: string, known: readonly T[]): T | undefined {
  return known.find(candidate => candidate.toLowerCase() === name.toLowerCase())
}
