/** A key of the config, with the lines of the haproxy.cfg that it comes from. */
export interface Entry {
  readonly key: string
  /** A list of entries is a mapping. */
  readonly value: string | number | boolean | readonly string[] | readonly Entry[]
  readonly lines: readonly number[]
  /** What there is to know about it; stands in the comment. */
  readonly remark?: string
}

export interface Yaml {
  readonly text: string
  /** For each of its lines, from 1, the first line of the haproxy.cfg that it comes from. */
  readonly origins: ReadonlyMap<number, number>
}

/** @param comment lines that stand above the first key. */
export function writeYaml(comment: readonly string[], entries: readonly Entry[]): Yaml {
  const text = comment.map(line => `# ${printable(line)}`.trimEnd())
  const origins = new Map<number, number>()
  const write = (entries: readonly Entry[], indent: string) => {
    for (const { key, value, lines, remark } of entries) {
      const said = [
        ...(lines.length > 0 ? [nameLines(lines)] : []),
        ...(remark === undefined ? [] : [remark]),
      ]
      const tail = said.length > 0 ? ` # ${printable(said.join('; '))}` : ''
      const isMapping = Array.isArray(value) && typeof value[0] === 'object'
      text.push(`${indent}${scalar(key)}:${isMapping ? '' : ` ${flow(value as string)}`}${tail}`)
      const [origin] = linesOf([{ key, value, lines }])
      if (origin !== undefined) origins.set(text.length, origin)
      if (isMapping) write(value as Entry[], `${indent}  `)
    }
  }
  write(entries, '')
  return { text: `${text.join('\n')}\n`, origins }
}

/** `line 3`, `lines 3, 5`; in order, each once. */
export function nameLines(lines: readonly number[]): string {
  const sorted = [...new Set(lines)].sort((a, b) => a - b)
  return `line${sorted.length === 1 ? '' : 's'} ${sorted.join(', ')}`
}

/** Every line that these entries come from. */
export function linesOf(entries: readonly Entry[]): number[] {
  return entries.flatMap(({ lines, value }) => [
    ...lines,
    ...(Array.isArray(value) && typeof value[0] === 'object' ? linesOf(value as Entry[]) : []),
  ])
}

function flow(value: string | number | boolean | readonly string[]): string {
  if (typeof value === 'string') return scalar(value)
  return typeof value === 'object' ? `[${value.map(scalar).join(', ')}]` : String(value)
}

/** Plain where YAML takes it for nothing but a string, else as JSON, which YAML has in it. */
function scalar(text: string): string {
  const isPlain =
    /^([a-z][\w.-]*|[1-9]\d*(ms|s|m|h))$/i.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text)
  return isPlain ? text : JSON.stringify(text)
}

/** As it may stand in a comment: on one line, without what moves the cursor. */
function printable(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')
}
