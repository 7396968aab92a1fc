import * as v from 'valibot'
import { found, unknownName } from './issue.ts'
import { insteadOf } from './not-yet.ts'
import { configSchema } from './schema.ts'

/** What is wrong with the shape of a config, whatever its values mean together. */
export interface Finding {
  readonly path: Path
  readonly at: 'key' | 'value'
  /** Made for those that are shown. */
  readonly message: () => string
}

type Path = readonly string[]
type Add = (path: Path, message: () => string, at?: 'key' | 'value') => void

/** Every unknown key, every key of a later version, then what valibot finds; one finding for each key. */
export function shapeFindings(value: unknown): Finding[] {
  const findings: Finding[] = []
  const refused = new Paths()
  const said = new Paths()
  const add: Add = (path, message, at = 'value') => {
    if (said.add(path)) findings.push({ path, at, message })
  }
  checkKeys(configSchema, value, [], (path, message, at) => {
    refused.add(path)
    add(path, message, at)
  })
  for (const { path, message, at } of flatten(v.safeParse(configSchema, value).issues ?? [], []))
    if (!refused.covers(path)) add(path, message, at)
  return findings
}

/** A set of paths. Their names are compared one by one: some are as long as the file. */
class Paths {
  readonly #below = new Map<string, Paths>()
  #isHere = false

  /** Whether it was not there before. */
  add(path: Path): boolean {
    let paths: Paths = this
    for (const name of path) {
      let next = paths.#below.get(name)
      if (next === undefined) {
        next = new Paths()
        paths.#below.set(name, next)
      }
      paths = next
    }
    const isNew = !paths.#isHere
    paths.#isHere = true
    return isNew
  }

  /** Whether it is there, or one above it. */
  covers(path: Path): boolean {
    let paths: Paths | undefined = this
    for (const name of path) {
      if (paths.#isHere) return true
      paths = paths.#below.get(name)
      if (paths === undefined) return false
    }
    return paths.#isHere
  }
}

/** Valibot names only the first unknown key, takes `constructor` for a known one and a list for a mapping. */
function checkKeys(schema: unknown, value: unknown, path: Path, add: Add): void {
  if (typeof value !== 'object' || value === null) return
  const { type, message, wrapped, options, entries, key, value: item } = schema as Partial<SchemaParts>
  if (type === 'optional') checkKeys(wrapped, value, path, add)
  for (const option of type === 'union' ? options! : []) checkKeys(option, value, path, add)
  if (type !== 'record' && type !== 'strict_object') return
  if (Array.isArray(value)) {
    add(path, () => `${found(value)}; allowed: ${message}`)
    return
  }
  for (const [name, child] of Object.entries(value)) {
    const childPath = [...path, name]
    const instead = insteadOf(childPath, child)
    if (instead !== undefined) add(childPath, () => `not supported yet: ${found(child)}; ${instead}`, 'key')
    else if (type === 'record') {
      const wrong = v.safeParse(key!, name).issues?.[0]
      if (wrong === undefined) checkKeys(item, child, childPath, add)
      else add(childPath, () => `${found(name)}; allowed: ${wrong.message}`, 'key')
    } else if (Object.hasOwn(entries!, name)) checkKeys(entries![name], child, childPath, add)
    else add(childPath, () => unknownName('key', name, Object.keys(entries!)), 'key')
  }
}

/** The parts of valibot's schema objects that `checkKeys` walks through. */
interface SchemaParts {
  type: string
  message: string
  wrapped: unknown
  options: unknown[]
  entries: Record<string, unknown>
  key: v.GenericSchema
  value: unknown
}

/** Valibot's issues as findings; of a union that was given an object, those of the object's own keys. */
function flatten(issues: readonly v.BaseIssue<unknown>[], parent: Path): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const path = [...parent, ...(issue.path ?? []).map(item => String(item.key))]
    const within = issue.issues?.filter(sub => sub.path !== undefined) ?? []
    if (within.length > 0) return flatten(within, path)
    const missing = issue.type === 'strict_object' && issue.received === 'undefined'
    if (missing) return [{ path, message: () => 'missing; it is required', at: 'key' }]
    return [{ path, message: () => `${found(issue.input)}; allowed: ${issue.message}`, at: 'value' }]
  })
}
