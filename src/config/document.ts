import { LineCounter } from 'yaml'
import { mostListeners } from '../sockets/descriptors.ts'
import { helmReadings } from './helm-yaml.ts'
import { type Issue, nearest, type Severity, shortened } from './issue.ts'
import { mostShown, type Shown } from './issues.ts'
import { Places } from './places.ts'
import { configSchema } from './schema.ts'
import { shapeFindings } from './shape.ts'
import { parseYaml } from './yaml-text.ts'

/** The config file as YAML: its value, what is wrong with its shape, and the place of each key for later findings. */
export interface ConfigDocument extends Shown {
  /** Any shape; `undefined` when the text is not YAML, or that of something else. */
  readonly value: unknown
  /** An issue at a key of the file; at the nearest place above it where the file does not have the key. */
  issue(severity: Severity, path: Path, message: string, at?: 'key' | 'value'): Issue
  /** `line:column` of the value at a path, to name a second place in a message. */
  place(path: Path): string
}

type Path = readonly string[]

/** @param file the file's name, for the issues. */
export function readDocument(file: string, text: string): ConfigDocument {
  const lines = new LineCounter()
  const yaml = text.replace(/^\uFEFF/, '')
  const { document, value, problems } = parseYaml(yaml, lines)
  const places = new Places(document)

  const issueAt = (severity: Severity, offset: number, path: Path, message: string): Issue => {
    const { line, col } = lines.linePos(offset)
    return { severity, file, line, column: col, ...(path.length > 0 && { key: keyOf(path) }), message }
  }
  const issue: ConfigDocument['issue'] = (severity, path, message, at = 'value') =>
    issueAt(severity, places.offsetOf(path, at), path, message)
  const place = (path: Path): string => {
    const { line, col } = lines.linePos(places.offsetOf(path, 'value'))
    return `${line}:${col}`
  }
  const refused = (issues: Issue[]): ConfigDocument => ({
    value: undefined,
    issues,
    more: { error: 0, warning: 0 },
    issue,
    place,
  })

  if (document === undefined)
    return refused(
      problems.map(({ offset, message }) =>
        offset === undefined
          ? { severity: 'error', file, line: 0, column: 0, message }
          : issueAt('error', offset, [], message),
      ),
    )
  const stranger = strangerOf(value)
  if (stranger !== undefined) return refused([issue('error', [], stranger)])
  const excess = excessOf(value)
  if (excess !== undefined) return refused([issue('error', ['forwards'], excess, 'key')])

  const findings = shapeFindings(value)
    .map(finding => ({ ...finding, offset: places.offsetOf(finding.path, finding.at) }))
    .sort((a, b) => a.offset - b.offset)
  const said = new Set(findings.map(({ offset }) => offset))
  // An error says enough.
  const readings = helmReadings(document, yaml, mostShown, offset => !said.has(offset))
  return {
    value,
    issues: [
      ...findings
        .slice(0, mostShown)
        .map(({ offset, path, message }) => issueAt('error', offset, path, message())),
      ...readings.first.map(({ offset, path, message }) => issueAt('warning', offset, path, message)),
    ],
    more: { error: Math.max(0, findings.length - mostShown), warning: readings.more },
    issue,
    place,
  }
}

/** `forwards.web.listen`, with long names and deep ones shortened. */
function keyOf(path: Path): string {
  return path
    .slice(0, 10)
    .map(name => shortened(name, 100))
    .join('.')
}

/** What to say of a mapping with several keys of which none is one of ours, nor a typo of one. */
function strangerOf(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const allowed = Object.keys(configSchema.entries)
  const keys = Object.keys(value)
  if (keys.length < 2 || keys.some(key => allowed.includes(key) || nearest(key, allowed) !== undefined))
    return undefined
  const shown = keys.slice(0, 4).map(key => shortened(key, 40))
  return `found the keys ${shown.join(', ')}${keys.length > 4 ? ' and more' : ''}, of which none is of this program's config; name the right file; allowed: ${allowed.join(', ')}`
}

/** What to say of more forwards than there may be listeners: each has one, and what is wrong with which does not matter then. */
function excessOf(value: unknown): string | undefined {
  const forwards = (value as { forwards?: unknown } | null)?.forwards
  if (typeof forwards !== 'object' || forwards === null || Array.isArray(forwards)) return undefined
  const count = Object.keys(forwards).length
  return count > mostListeners
    ? `found ${count} forwards; allowed: ${mostListeners}; leave some out`
    : undefined
}
