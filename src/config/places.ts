import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  visit,
  type YAMLMap,
} from 'yaml'

type Pairs = ReadonlyMap<string, Pair<Node, Node | null>>

/** Where in a YAML text the keys and values at paths stand. Each mapping is gone through once, and is an index then. */
export class Places {
  readonly #document: Document | undefined
  readonly #pairs = new Map<YAMLMap, Pairs>()
  #targets: ReadonlyMap<Node, Node | undefined> | undefined

  constructor(document: Document | undefined) {
    this.#document = document
  }

  /** Of the key or the value at a path, or of what is nearest above it; in characters. */
  offsetOf(path: readonly string[], at: 'key' | 'value'): number {
    let node = this.#document?.contents as Node | null | undefined
    let offset = node?.range?.[0] ?? 0
    for (const name of path) {
      if (isAlias(node)) node = this.#targetOf(node)
      const child = this.#childOf(node, name)
      if (child === undefined) break
      node = child.value
      offset = (at === 'value' ? child.value?.range?.[0] : undefined) ?? child.offset ?? offset
    }
    return offset
  }

  #childOf(node: Node | null | undefined, name: string): { value: Node | null; offset?: number } | undefined {
    if (isSeq(node)) return { value: (node.items[Number(name)] as Node | undefined) ?? null }
    if (!isMap(node)) return undefined
    const pair = this.#pairsOf(node).get(name)
    if (pair === undefined) return undefined
    const offset = pair.key.range?.[0]
    return { value: pair.value, ...(offset === undefined ? {} : { offset }) }
  }

  #pairsOf(map: YAMLMap): Pairs {
    const known = this.#pairs.get(map)
    if (known !== undefined) return known
    const pairs = new Map<string, Pair<Node, Node | null>>()
    for (const pair of map.items as Pair<Node, Node | null>[]) {
      const name = isScalar(pair.key) ? String(pair.key.value ?? '') : undefined
      if (name !== undefined && !pairs.has(name)) pairs.set(name, pair)
    }
    this.#pairs.set(map, pairs)
    return pairs
  }

  /** What an alias stands for: what last had its name before it. */
  #targetOf(alias: Node): Node | undefined {
    this.#targets ??= targetsOf(this.#document!)
    return this.#targets.get(alias)
  }
}

function targetsOf(document: Document): Map<Node, Node | undefined> {
  const named = new Map<string, Node>()
  const targets = new Map<Node, Node | undefined>()
  visit(document, {
    Node(_, node) {
      if (isAlias(node)) targets.set(node, named.get(node.source))
      else if (node.anchor !== undefined) named.set(node.anchor, node)
    },
  })
  return targets
}
