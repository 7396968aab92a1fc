import { found } from '../config/issue.ts'
import { withoutBranches } from './branches.ts'
import type { Ledger } from './ledger.ts'
import { type Directive, splitWords } from './words.ts'

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

const CLIENTS = 'about HTTP clients and servers'
const TLS = 'about TLS, which ends at the reverse proxy'

/** Other sections that no forward can depend on, and why. */
const withoutEffect: Readonly<Record<string, string>> = {
  cache: CLIENTS,
  'fcgi-app': CLIENTS,
  'http-errors': CLIENTS,
  userlist: CLIENTS,
  'crt-store': TLS,
  acme: TLS,
  'log-profile': 'about logs',
  mailers: 'about mail that HAProxy sends',
  peers: 'about tables, which no forward has',
  ring: 'about logs',
  traces: 'about the HAProxy process',
}

/** Sections that do something of their own. */
const foreign: readonly string[] = ['log-forward', 'namespace_list', 'program']

/** The sections of a file, and each line that is in none as an error. */
export function readSections(text: string, ledger: Ledger): Section[] {
  const sections: Section[] = []
  let current: Section | undefined
  let reason: string | undefined
  let isRefused = false
  for (const directive of withoutBranches(directives(text), ledger)) {
    const { line, name } = directive
    const isOther = Object.hasOwn(withoutEffect, name)
    if (kinds.includes(name) || isOther || foreign.includes(name)) {
      reason = isOther ? `${name}, ${withoutEffect[name]}` : undefined
      isRefused = directive.problem !== undefined || foreign.includes(name)
      current = isOther || isRefused ? undefined : sectionOf(directive, ledger)
      if (current !== undefined) sections.push(current)
      if (directive.problem !== undefined && !isOther) ledger.error(line, directive.problem)
      else if (foreign.includes(name))
        ledger.error(line, `found a section ${name}; there is none here, remove it and what refers to it`)
    } else if (current !== undefined) current.directives.push(directive)
    if (reason !== undefined) ledger.leaveOut(line, reason)
    else if (current === undefined && !isRefused)
      ledger.error(line, `${found(name)} before any section; begin with global, defaults, frontend or listen`)
  }
  return sections
}

function directives(text: string): Directive[] {
  return text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .flatMap((content, index): Directive[] => {
      const { words, ...rest } = splitWords(content.replace(/\r$/, ''))
      const [name = '', ...args] = words
      return words.length === 0 && rest.problem === undefined
        ? []
        : [{ line: index + 1, name, args, ...rest }]
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
