/** A parameter of a `bind`, `server` or `default-server` line, with the words that belong to it. */
export interface Param {
  readonly name: string
  readonly values: readonly string[]
  readonly isKnown: boolean
}

/** How many words follow each parameter. */
export type Arities = Readonly<Record<string, number>>

/** `{ ssl: 0, verify: 1 }` from `{ 0: 'ssl', 1: 'verify' }`. */
export function arities(names: Readonly<Record<number, string>>): Arities {
  return Object.fromEntries(
    Object.entries(names).flatMap(([count, names]) => names.split(' ').map(name => [name, Number(count)])),
  )
}

/** What follows a parameter that nobody knows belongs to it, up to the next one that is known. */
export function readParams(words: readonly string[], known: Arities): Param[] {
  const params: Param[] = []
  for (let at = 0; at < words.length; ) {
    const name = words[at++]!
    const isKnown = Object.hasOwn(known, name)
    const from = at
    if (isKnown) at += known[name]!
    else while (at < words.length && !Object.hasOwn(known, words[at]!)) at++
    params.push({ name, values: words.slice(from, at), isKnown })
  }
  return params
}

/** `ssl, verify`, each once. */
export function nameParams(names: readonly string[]): string {
  return [...new Set(names)].join(', ')
}
