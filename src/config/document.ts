import * as v from 'valibot'
import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from 'yaml'
import { messageOf } from '../errors.ts'
import { helmReadings } from './helm-yaml.ts'
import { found, type Issue, nearest, unknownName } from './issue.ts'
import { insteadOf } from './not-yet.ts'
import { configSchema } from './schema.ts'

/** The config file as YAML: its value, what is wrong with its shape, and the place of each key for later findings. */
export interface ConfigDocument {
  /** Any shape; `undefined` when the text is not YAML, or that of something else. */
  readonly value: unknown
  readonly issues: readonly Issue[]
  /** An issue at a key of the file; at the nearest place above it where the file does not have the key. */
  issue(severity: Issue['severity'], path: readonly string[], message: string, at?: 'key' | 'value'): Issue
  /** `line:column` of the value at a path, to name a second place in a message. */
  place(path: readonly string[]): string
}

/** 1 MiB: a config of a thousand forwards has a tenth of it. */
const MAX_LENGTH = 1 << 20

/** One slip in YAML's punctuation can yield an error for every line after it. */
const MAX_SYNTAX_ERRORS = 10

type Path = readonly string[]

/** @param file the file's name, for the issues. */
export function readDocument(file: string, text: string): ConfigDocument {
  const lines = new LineCounter()
  const yaml = text.replace(/^\uFEFF/, '')
  const { document, value, problems } = parse(yaml, lines)

  const issue: ConfigDocument['issue'] = (severity, path, message, at = 'value') => {
    const { line, col } = lines.linePos(offsetOf(document, path, at))
    return { severity, file, line, column: col, ...(path.length > 0 && { key: path.join('.') }), message }
  }
  const place = (path: Path): string => {
    const { line, column } = issue('error', path, '')
    return `${line}:${column}`
  }
  const issues = problems.map(({ offset, message }): Issue => {
    const { line, col } = offset === undefined ? { line: 0, col: 0 } : lines.linePos(offset)
    return { severity: 'error', file, line, column: col, message }
  })
  const stranger = strangerOf(value)
  if (stranger !== undefined)
    return { value: undefined, issues: [issue('error', [], stranger)], issue, place }
  if (problems.length === 0) issues.push(...shapeIssues(value, issue))
  for (const { offset, path, message } of document === undefined ? [] : helmReadings(document, yaml)) {
    const { line, col } = lines.linePos(offset)
    // An error says enough.
    if (!issues.some(issue => issue.line === line && issue.column === col))
      issues.push({ severity: 'warning', file, line, column: col, key: path.join('.'), message })
  }
  return { value, issues, issue, place }
}

interface Problem {
  readonly offset?: number
  readonly message: string
}

interface Parsed {
  readonly document?: Document
  readonly value?: unknown
  readonly problems: readonly Problem[]
}

function parse(text: string, lines: LineCounter): Parsed {
  const failed = (message: string): Parsed => ({ problems: [{ message }] })
  if (text.length > MAX_LENGTH)
    return failed('found more than 1 MiB; allowed: 1 MiB; name the config file, this is another one')
  try {
    // prettyErrors would quote the line, and a line may hold a secret that does not belong there.
    const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' })
    // A warning is an unknown tag or directive, and would leave a value that is not what was written.
    const problems = [...document.errors, ...document.warnings]
      .slice(0, MAX_SYNTAX_ERRORS)
      .map(({ pos, message }) => ({
        offset: pos[0],
        message: `${message}; this is not valid YAML`,
      }))
    if (problems.length > 0) return { problems }
    const value: unknown = document.toJS({ maxAliasCount: 100 })
    if (value === null || value === undefined)
      return failed('the file is empty; write at least tunnel: {wgConf: wg0.conf} or forwards: into it')
    return { document, value, problems }
  } catch (error) {
    // Nesting that is too deep (RangeError), or aliases that multiply (ReferenceError).
    return failed(`${messageOf(error)}; the file cannot be read as a config`)
  }
}

/** Every unknown key, every key of a later version, then what valibot finds; one issue per key, in the file's order. */
function shapeIssues(value: unknown, issue: ConfigDocument['issue']): Issue[] {
  const issues = new Map<string, Issue>()
  const add = (path: Path, message: string, at?: 'key' | 'value') => {
    const key = JSON.stringify(path)
    if (!issues.has(key)) issues.set(key, issue('error', path, message, at))
  }
  checkKeys(configSchema, value, [], add)
  const refused = [...issues.keys()].map(key => key.slice(0, -1))
  for (const { path, message, at } of flatten(v.safeParse(configSchema, value).issues ?? []))
    if (!refused.some(prefix => JSON.stringify(path).startsWith(prefix))) add(path, message, at)
  return [...issues.values()].sort((a, b) => a.line - b.line || a.column - b.column)
}

/** What to say of a mapping with several keys of which none is one of ours, nor a typo of one. */
function strangerOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const allowed = Object.keys(configSchema.entries)
  const keys = Object.keys(value)
  if (keys.length < 2 || keys.some(key => allowed.includes(key) || nearest(key, allowed) !== undefined))
    return undefined
  const shown = keys.slice(0, 4).map(key => (key.length > 40 ? `${key.slice(0, 40)}…` : key))
  return `found the keys ${shown.join(', ')}${keys.length > 4 ? ' and more' : ''}, of which none is of this program's config; name the right file; allowed: ${allowed.join(', ')}`
}

/** Valibot names only the first unknown key, takes `constructor` for a known one and a list for a mapping. */
function checkKeys(
  schema: unknown,
  value: unknown,
  path: Path,
  add: (path: Path, message: string, at?: 'key') => void,
): void {
  if (typeof value !== 'object' || value === null) return
  const { type, message, wrapped, options, entries, key, value: item } = schema as Partial<SchemaParts>
  if (type === 'optional') checkKeys(wrapped, value, path, add)
  for (const option of type === 'union' ? options! : []) checkKeys(option, value, path, add)
  if (type !== 'record' && type !== 'strict_object') return
  if (Array.isArray(value)) {
    add(path, `${found(value)}; allowed: ${message}`)
    return
  }
  for (const [name, child] of Object.entries(value)) {
    const childPath = [...path, name]
    const instead = insteadOf(childPath, child)
    if (instead !== undefined) add(childPath, `not supported yet: ${found(child)}; ${instead}`, 'key')
    else if (type === 'record') {
      const wrong = v.safeParse(key!, name).issues?.[0]
      if (wrong === undefined) checkKeys(item, child, childPath, add)
      else add(childPath, `${found(name)}; allowed: ${wrong.message}`, 'key')
    } else if (Object.hasOwn(entries!, name)) checkKeys(entries![name], child, childPath, add)
    else add(childPath, unknownName('key', name, Object.keys(entries!)), 'key')
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

interface Finding {
  readonly path: Path
  readonly message: string
  readonly at?: 'key' | 'value'
}

/** Valibot's issues as findings; of a union that was given an object, those of the object's own keys. */
function flatten(issues: readonly v.BaseIssue<unknown>[], parent: Path = []): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const path = [...parent, ...(issue.path ?? []).map(item => String(item.key))]
    const within = issue.issues?.filter(sub => sub.path !== undefined) ?? []
    if (within.length > 0) return flatten(within, path)
    const missing = issue.type === 'strict_object' && issue.received === 'undefined'
    if (missing) return [{ path, message: 'missing; it is required', at: 'key' }]
    return [{ path, message: `${found(issue.input)}; allowed: ${issue.message}` }]
  })
}

/** Where in the text the key or the value at a path stands, or what is nearest above it. */
function offsetOf(document: Document | undefined, path: Path, at: 'key' | 'value'): number {
  let node = document?.contents as Node | null | undefined
  let offset = node?.range?.[0] ?? 0
  for (const name of path) {
    if (isAlias(node)) node = node.resolve(document!)
    const child = childOf(node, name)
    if (child === undefined) break
    node = child.value
    offset = (at === 'value' ? child.value?.range?.[0] : undefined) ?? child.offset ?? offset
  }
  return offset
}

function childOf(
  node: Node | null | undefined,
  name: string,
): { value: Node | null; offset?: number } | undefined {
  if (isSeq(node)) return { value: (node.items[Number(name)] as Node | undefined) ?? null }
  if (!isMap(node)) return undefined
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value ?? '') === name) as
    | Pair<Node, Node | null>
    | undefined
  if (pair === undefined) return undefined
  const offset = pair.key.range?.[0]
  return { value: pair.value, ...(offset === undefined ? {} : { offset }) }
}
