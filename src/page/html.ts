import { visible } from '../text/visible.ts'

/** HTML that is escaped unless it was made here: a name with markup in it is shown, never obeyed. */

type Content = Html | string | number | false | undefined | readonly Content[]

class Html {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  toString(): string {
    return this.#text
  }
}

export type { Html }

/** Values are text, or the quoted value of an attribute; `false` and `undefined` are nothing, lists are joined. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return new Html(parts.reduce((text, part, i) => text + contentOf(values[i - 1]) + part))
}

/** For constants alone: what goes in is not escaped. */
export function constant(text: string): Html {
  return new Html(text)
}

function contentOf(value: Content): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Html) return value.toString()
  return typeof value === 'object' ? value.map(contentOf).join('') : escaped(`${value}`)
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Control characters, and those that turn the direction of the text after them, are made visible instead. */
function escaped(text: string): string {
  return visible(text, '\ufffd').replace(/[&<>"']/g, character => entities[character]!)
}
