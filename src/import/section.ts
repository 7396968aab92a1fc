import { found } from '../config/issue.ts'
import type { Ledger } from './ledger.ts'
import { splitWords } from './words.ts'

/** A line that is neither empty nor a comment. */
export interface Directive {
  readonly line: number
  readonly name: string
  readonly args: readonly string[]
}

export const proxyKinds = ['defaults', 'frontend', 'backend', 'listen'] as const
export type ProxyKind = (typeof proxyKinds)[number]

export interface Section<Kind = ProxyKind | 'global' | 'resolvers'> {
  readonly kind: Kind
  /** Empty for `global` and for `defaults` without a name. */
  readonly name: string
  /** `from NAME`: the defaults section that it begins with. */
  readonly from: string | undefined
  readonly line: number
  readonly directives: Directive[]
}

const kinds: readonly string[] = [...proxyKinds, 'global', 'resolvers']

/** Section 4 and the chapters named "sections" of HAProxy's configuration manual. */
const foreign = [
  'cache',
  'crt-store',
  'fcgi-app',
  'http-errors',
  'log-forward',
  'log-profile',
  'mailers',
  'peers',
  'program',
  'ring',
  'traces',
  'userlist',
]

/** The sections of a file, and each line that is in none as an error. */
export function readSections(text: string, ledger: Ledger): Section[] {
  const sections: Section[] = []
  let current: Section | undefined
  let skipped: string | undefined
  for (const { line, name, args } of directives(text, ledger)) {
    if (kinds.includes(name)) {
      current = sectionOf({ line, name, args }, ledger)
      skipped = undefined
      sections.push(current)
    } else if (foreign.includes(name)) {
      current = undefined
      skipped = name
      ledger.error(line, `found a section ${name}; there is none here, remove it and what refers to it`)
    } else if (current !== undefined) {
      current.directives.push({ line, name, args })
    } else if (skipped !== undefined) {
      ledger.error(line, `${found(name)} in a section ${skipped}; remove it with its section`)
    } else {
      ledger.error(line, `${found(name)} before any section; begin with global, defaults, frontend or listen`)
    }
  }
  return sections
}

function directives(text: string, ledger: Ledger): Directive[] {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((content, index): Directive[] => {
      const line = index + 1
      const { words, problem } = splitWords(content.replace(/\r$/, ''))
      if (problem !== undefined) ledger.error(line, problem)
      const [name, ...args] = words ?? []
      return name === undefined ? [] : [{ line, name, args }]
    })
}

function sectionOf({ line, name: kind, args }: Directive, ledger: Ledger): Section {
  const isNameless =
    kind === 'global' || (kind === 'defaults' && (args[0] === undefined || args[0] === 'from'))
  const [name = '', ...rest] = isNameless ? ['', ...args] : args
  if (name === '' && !isNameless) ledger.error(line, `found a ${kind} without a name; name it`)
  const hasFrom = rest[0] === 'from' && rest.length === 2 && kind !== 'global'
  if (rest.length > 0 && !hasFrom)
    ledger.error(line, `${found(rest.join(' '))} after ${`${kind} ${name}`.trim()}; allowed: from DEFAULTS`)
  return {
    kind: kind as Section['kind'],
    name,
    from: hasFrom ? rest[1] : undefined,
    line,
    directives: [],
  }
}
