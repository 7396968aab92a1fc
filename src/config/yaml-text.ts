import { type Document, isScalar, Lexer, type LineCounter, parseDocument, visit } from 'yaml'
import { messageOf } from '../errors.ts'

/** The text of a config file as YAML, within bounds: what a text costs is far more than its length. */
export interface YamlText {
  readonly document?: Document
  /** As long as there are no problems. */
  readonly value?: unknown
  readonly problems: readonly YamlProblem[]
}

export interface YamlProblem {
  /** In characters; without one it is about the file as a whole. */
  readonly offset?: number
  readonly message: string
}

/** 1 MiB: a config of a thousand forwards has a tenth of it. */
const mostCharacters = 1 << 20

/**
 * Words, marks, blanks and line ends. Each takes up to half a KiB while it is read, and `[[[[` is four of them: bytes
 * bound nothing. A file of 1 MiB that a person or a program would write has about 250,000.
 */
const mostTokens = 300_000

/** Anchors and aliases together: the work for them grows with the square. */
const mostNames = 1000

/** Once each alias stands for what it names. */
export const mostValues = 50_000

/** One slip in YAML's punctuation can yield an error for every line after it. */
const mostProblems = 10

/** @param lines learns where each line begins. */
export function parseYaml(text: string, lines: LineCounter): YamlText {
  const failed = (message: string): YamlText => ({ problems: [{ message }] })
  if (text.length > mostCharacters)
    return failed('found more than 1 MiB; allowed: 1 MiB; name the config file, this is another one')
  const traces = Error.stackTraceLimit
  // The package makes an error for each slip, thousands of them, and nobody sees where.
  Error.stackTraceLimit = 0
  try {
    const tooMuch = excessOf(text)
    if (tooMuch !== undefined) return failed(tooMuch)
    // prettyErrors would quote the line, and a line may hold a secret that does not belong there.
    // The package looks for a key twice by comparing each with all others.
    const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error', uniqueKeys: false } as const
    const document = parseDocument(text, options)
    // A warning is an unknown tag or directive, and would leave a value that is not what was written.
    const slips = [...document.errors, ...document.warnings].slice(0, mostProblems)
    if (slips.length > 0)
      return {
        problems: slips.map(({ pos, message }) => ({
          offset: pos[0],
          message: `${message}; this is not valid YAML`,
        })),
      }
    const twins = twinKeys(document)
    if (twins.length > 0) return { problems: twins }
    const value: unknown = document.toJS({ maxAliasCount: 100 })
    if (value === null || value === undefined)
      return failed('the file is empty; write at least tunnel: {wgConf: wg0.conf} or forwards: into it')
    if (valuesLeft(value, mostValues) < 0)
      return failed(`found more than ${mostValues} values, those of aliases included; allowed: ${mostValues}`)
    return { document, value, problems: [] }
  } catch (error) {
    // Nesting that is too deep (RangeError), or aliases that multiply (ReferenceError).
    return failed(`${messageOf(error)}; the file cannot be read as a config`)
  } finally {
    Error.stackTraceLimit = traces
  }
}

/** What of a text is more than may be read, told before any of it is kept. */
function excessOf(text: string): string | undefined {
  let tokens = 0
  let names = 0
  for (const token of new Lexer().lex(text)) {
    if (++tokens > mostTokens)
      return `found more than ${mostTokens} words and marks of YAML; allowed: ${mostTokens}; name the config file, this is another one`
    if (token[0] !== '&' && token[0] !== '*') continue
    if (++names > mostNames) return `found more than ${mostNames} anchors and aliases; allowed: ${mostNames}`
  }
  return undefined
}

function twinKeys(document: Document): YamlProblem[] {
  const twins: YamlProblem[] = []
  visit(document, {
    Map(_, map) {
      const keys = new Set<unknown>()
      for (const { key } of map.items) {
        if (!isScalar(key)) continue
        if (keys.has(key.value) && twins.length < mostProblems)
          twins.push({
            offset: key.range?.[0] ?? 0,
            message: 'Map keys must be unique; this is not valid YAML',
          })
        keys.add(key.value)
      }
    },
  })
  return twins
}

/** How many of so many values are left when all within this one are taken; negative where it has more. */
function valuesLeft(value: unknown, most: number): number {
  let left = most - 1
  if (typeof value !== 'object' || value === null) return left
  for (const item of Object.values(value)) {
    if (left < 0) break
    left = valuesLeft(item, left)
  }
  return left
}
