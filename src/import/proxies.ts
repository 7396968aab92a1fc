import type { Ledger } from './ledger.ts'
import { type ProxySection, readProxy, unreadProxy } from './proxy.ts'
import type { ProxyKind, Section } from './section.ts'
import type { Directive } from './words.ts'

/** The frontends, backends and listens that are in force, each with what it inherits. */
export function readProxies(sections: readonly Section[], ledger: Ledger): ProxySection[] {
  const ancestry = new Ancestry(sections, ledger)
  return sections.flatMap((section): ProxySection[] => {
    if (!isProxy(section) || section.kind === 'defaults' || isStatusPage(section)) return []
    if (ancestry.last(section, 'disabled', 'enabled')?.name === 'disabled') {
      for (const { line } of [section, ...section.directives]) ledger.leaveOut(line, 'disabled')
      return []
    }
    const mode = ancestry.last(section, 'mode')
    if (mode === undefined || mode.args[0] === 'tcp') return [ancestry.read(section, ledger)]
    const value = mode.args.join(' ')
    if (section.kind === 'backend') return [unreadProxy(section, { value, line: mode.line })]
    refuseMode(section, mode, ledger)
    return []
  })
}

export function isProxy(section: Section): section is Section<ProxyKind> {
  return section.kind !== 'global' && section.kind !== 'resolvers'
}

/** HAProxy's page of statistics: HTTP, and no server behind it. */
export function isStatusPage({ kind, directives }: Section): boolean {
  const has = (name: string) => directives.some(directive => directive.name === name)
  return (
    kind !== 'defaults' && has('stats') && !has('server') && !has('default_backend') && !has('use_backend')
  )
}

/** Which defaults section each section begins with: that of `from NAME`, else the last one before it. */
class Ancestry {
  readonly #parents = new Map<Section, Section<ProxyKind>>()
  readonly #read = new Map<Section, ProxySection>()

  constructor(sections: readonly Section[], ledger: Ledger) {
    const defaults = new Map<string, Section<ProxyKind>>()
    let last: Section<ProxyKind> | undefined
    for (const section of sections.filter(isProxy)) {
      const { kind, name, from, line } = section
      const parent = from === undefined ? (kind === 'defaults' ? undefined : last) : defaults.get(from)
      if (parent !== undefined) this.#parents.set(section, parent)
      else if (from !== undefined)
        ledger.missing(line, `found from ${from}; there is no defaults section of that name before it`)
      if (kind !== 'defaults') continue
      last = section
      defaults.set(name, section)
    }
  }

  /** The last of these directives that counts for a section. */
  last(section: Section, ...names: string[]): Directive | undefined {
    const parent = this.#parents.get(section)
    const own = section.directives.findLast(
      ({ name, problem }) => names.includes(name) && problem === undefined,
    )
    return own ?? (parent && this.last(parent, ...names))
  }

  /** A defaults section that none begins with is not read. */
  read(section: Section<ProxyKind>, ledger: Ledger): ProxySection {
    const parent = this.#parents.get(section)
    const proxy = this.#read.get(section) ?? readProxy(section, parent && this.read(parent, ledger), ledger)
    this.#read.set(section, proxy)
    return proxy
  }
}

/** One error for all that stands in the section. */
function refuseMode({ kind, name, line, directives }: Section, mode: Directive, ledger: Ledger): void {
  const binds = directives.filter(directive => directive.name === 'bind')
  const ports = binds.flatMap(({ args: [address = ''] }) =>
    Array.from(address.matchAll(/:(\d+(?:-\d+)?)(?=,|$)/g), match => match[1]!),
  )
  const where = ports.length === 0 ? 'its port' : `port ${[...new Set(ports)].join(', ')}`
  ledger.error(
    line,
    `found mode ${mode.args.join(' ')} (line ${mode.line}) for ${kind} ${name}; allowed: mode tcp. HTTP is the reverse proxy's work: leave the section out, and forward ${where} to the reverse proxy`,
  )
}
