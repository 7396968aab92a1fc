import { type Document, isCollection, isPair, isScalar, Scalar, visit } from 'yaml'
import { shortened } from './issue.ts'

/**
 * What Helm reads otherwise than this program. The chart's values hold a config file too, under `config:`, and Helm reads
 * YAML with a library of Go (sigs.k8s.io/yaml, a fork of go-yaml v2) that keeps much of YAML 1.1; this program reads
 * YAML 1.2. A config that is copied from the one to the other must mean the same.
 */
export interface HelmReading {
  /** Where the scalar begins, in characters. */
  readonly offset: number
  readonly path: readonly string[]
  /** What was found, what Helm makes of it, and what to write so that both read the same. */
  readonly message: string
}

/**
 * The first of them, in the order of the text, and how many more there are.
 * @param isWanted asked with an offset.
 */
export function helmReadings(
  document: Document,
  text: string,
  most: number,
  isWanted: (offset: number) => boolean,
): { first: HelmReading[]; more: number } {
  const first: HelmReading[] = []
  let more = 0
  visit(document, {
    Scalar(role, node, ancestors) {
      const [offset = 0, end = offset] = node.range ?? []
      // Within one that is in flow style, all are.
      const above = ancestors.findLast(isCollection)
      const message =
        node.type === Scalar.QUOTE_DOUBLE
          ? messageOfQuoted(text.slice(offset, end))
          : messageOf(node, role === 'key', above?.flow === true)
      if (message === undefined || !isWanted(offset)) return
      if (first.length < most) first.push({ offset, path: pathOf(ancestors), message })
      else more++
    },
  })
  return { first, more }
}

function pathOf(ancestors: readonly unknown[]): string[] {
  return ancestors.filter(isPair).map(({ key }) => (isScalar(key) ? String(key.value) : '?'))
}

/** Not shown: it may be a key of WireGuard that went through JSON. */
function messageOfQuoted(written: string): string | undefined {
  const hasSlash = /^"([^\\]|\\[^/])*\\\//s.test(written)
  return hasSlash
    ? 'found \\/ in quotes, which Helm refuses in values of the chart; write / alone'
    : undefined
}

function messageOf(node: Scalar, isKey: boolean, inFlow: boolean): string | undefined {
  const { source } = node
  if (node.type !== Scalar.PLAIN || node.tag !== undefined || source === undefined) return undefined
  const said = (what: string) =>
    `found ${shortened(source)}, which Helm ${what} in values of the chart; write ${shortened(portable(node, isKey))}`
  if (inFlow && /^:|\?/.test(source)) return said('does not read')
  const value = goValue(source)
  if (isKey ? value === null : typeof value === 'number' && !Number.isFinite(value)) return said('refuses')
  const isSame = Object.is(value, node.value) || (value === 0 && node.value === 0)
  return isSame ? undefined : said(`reads as ${JSON.stringify(value)}`)
}

/** What both read as it is meant here. */
function portable({ value, source }: Scalar, isKey: boolean): string {
  if (typeof value === 'string') return JSON.stringify(source)
  return isKey ? JSON.stringify(String(value)) : String(value)
}

const words = new Map<string, boolean | number | null>([
  ...['y', 'Y', 'yes', 'Yes', 'YES', 'on', 'On', 'ON', 'true', 'True', 'TRUE'].map(
    word => [word, true] as const,
  ),
  ...['n', 'N', 'no', 'No', 'NO', 'off', 'Off', 'OFF', 'false', 'False', 'FALSE'].map(
    word => [word, false] as const,
  ),
  ...['', '~', 'null', 'Null', 'NULL'].map(word => [word, null] as const),
  ...['.inf', '.Inf', '.INF', '+.inf', '+.Inf', '+.INF'].map(word => [word, Infinity] as const),
  ...['-.inf', '-.Inf', '-.INF'].map(word => [word, -Infinity] as const),
  ...['.nan', '.NaN', '.NAN'].map(word => [word, NaN] as const),
])

/** What a plain scalar is to go-yaml v2 (resolve.go): a word, a number with `_` anywhere in it, else text. */
function goValue(source: string): string | boolean | number | null {
  const word = words.get(source)
  if (word !== undefined) return word
  if (!/^[-+.\d]/.test(source)) return source
  // Behind a leading point it has to stand between digits.
  if (/^\..*(_(?!\d)|[^\d]_)/.test(source)) return source
  const plain = source.replaceAll('_', '')
  const [, sign = '', whole] = /^([-+]?)(0x[\da-f]+|0b[01]+|0o?[0-7]+|0|[1-9]\d*)$/i.exec(plain) ?? []
  // A leading 0 alone is octal in Go, as it was in YAML 1.1.
  if (whole !== undefined) return Number(whole.replace(/^0(?=\d)/, '0o')) * (sign === '-' ? -1 : 1)
  if (!/^[-+]?(\.\d+|\d+(\.\d*)?)(e[-+]?\d+)?$/i.test(plain)) return source
  const value = Number(plain)
  return Number.isFinite(value) ? value : source
}
