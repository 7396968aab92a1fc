/**
 * The words of one line, quotes and escapes taken away, as section 2.2 of HAProxy's configuration manual says; up to a
 * comment. What can only be known where HAProxy runs, an environment variable, is a problem; its word has the name.
 */
export interface Words {
  readonly words: readonly string[]
  readonly problem?: string
}

/** A line that is neither empty nor a comment. */
export interface Directive {
  readonly line: number
  readonly name: string
  readonly args: readonly string[]
  /** Why its words cannot be known: an error, unless the line has no effect. */
  readonly problem?: string
}

const bare: Readonly<Record<string, string>> = {
  ' ': ' ',
  '#': '#',
  '\\': '\\',
  "'": "'",
  '"': '"',
  $: '$',
  n: '\n',
  r: '\r',
  t: '\t',
}

export function splitWords(line: string): Words {
  const words: string[] = []
  let word: string | undefined
  let quote: string | undefined
  let problem: string | undefined
  for (let at = 0; at < line.length; at++) {
    const char = line[at]!
    if (quote === "'") {
      if (char === quote) quote = undefined
      else word += char
    } else if (char === '\\') {
      const escaped = escapeOf(line.slice(at + 1))
      if (escaped === undefined)
        return {
          words,
          problem: 'found a backslash before nothing it could escape; write \\\\ for a backslash',
        }
      word = (word ?? '') + escaped.text
      at += escaped.length
    } else if (char === '"' || (char === "'" && quote === undefined)) {
      quote = quote === undefined ? char : undefined
      word ??= ''
    } else if (quote !== undefined) {
      if (char === '$') problem ??= 'found an environment variable; write its value, or \\$ for a dollar sign'
      word += char
    } else if (char === '#') {
      break
    } else if (char === ' ' || char === '\t') {
      if (word !== undefined) words.push(word)
      word = undefined
    } else word = (word ?? '') + char
  }
  if (quote !== undefined) problem = `found no closing ${quote}; close the quotes on the same line`
  if (word !== undefined) words.push(word)
  return problem === undefined ? { words } : { words, problem }
}

/** What follows a backslash: the text it stands for and how many characters it takes. */
function escapeOf(rest: string): { text: string; length: number } | undefined {
  const hex = /^x([0-9a-f]{2})/i.exec(rest)
  if (hex !== null) return { text: String.fromCharCode(Number.parseInt(hex[1]!, 16)), length: 3 }
  const [char] = rest
  if (char === undefined || char === 'x') return undefined
  const text = bare[char]
  // HAProxy keeps the backslash where it escapes nothing.
  return text === undefined ? { text: '\\', length: 0 } : { text, length: 1 }
}

/** Whether these are values to compare with: at least one, and no flag of a match among them. */
export function areValues(words: readonly string[]): boolean {
  return words.length > 0 && !words.some(word => /^[-!]|^$/.test(word))
}
