import { constant, type Html, html } from './html.ts'

/** A state that is told three times over: by colour, by shape and by a word. */

export type Tone = 'good' | 'warning' | 'bad' | 'quiet'

/** In a box of 16 by 16: a disc, a triangle, a square, a ring. */
export const shapes: Readonly<Record<Tone, string>> = {
  good: '<circle cx="8" cy="8" r="5"/>',
  warning: '<path d="M8 2.5 14 13.5H2z"/>',
  bad: '<path d="M3 3h10v10H3z"/>',
  quiet: '<circle cx="8" cy="8" r="4" fill="none" stroke="currentColor" stroke-width="2"/>',
}

export function mark(tone: Tone): Html {
  return html`<svg class="mark ${tone}" viewBox="0 0 16 16" aria-hidden="true">${constant(shapes[tone])}</svg>`
}

export function state(tone: Tone, word: string): Html {
  return html`<span class="state ${tone}">${mark(tone)}${word}</span>`
}

const order: readonly Tone[] = ['bad', 'warning', 'good', 'quiet']

/** Sorted; otherwise in the order that they had. */
export function worstFirst<T extends { readonly tone: Tone }>(items: readonly T[]): T[] {
  return order.flatMap(tone => items.filter(item => item.tone === tone))
}

/** The worst of several; `quiet` when there is none. */
export function worst(tones: readonly Tone[]): Tone {
  return order.find(tone => tones.includes(tone)) ?? 'quiet'
}
