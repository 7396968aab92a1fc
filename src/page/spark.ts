import { samples } from './history.ts'
import { type Html, html } from './html.ts'

/** Numbers over the last 15 minutes as a small line. The newest is at the right edge, 0 at the bottom. */

const height = 100

/** The first series is filled, the second a line only; both on one scale. `label` is what the picture says in words. */
export function spark(label: string, first: readonly number[], second: readonly number[] = []): Html {
  const most = Math.max(1, ...first, ...second)
  const line = lineOf(first, most)
  return html`<svg class="spark" viewBox="0 -4 ${samples - 1} ${height + 8}" preserveAspectRatio="none" role="img" aria-label="${label}"><path class="rule" d="M0 ${height}H${samples - 1}"/>${
    line !== '' &&
    html`<path class="area" d="${line}V${height}H${leftOf(first)}z"/><path class="line" d="${line}"/>`
  }${second.length > 1 && html`<path class="line second" d="${lineOf(second, most)}"/>`}</svg>`
}

/** An SVG path in whole units. Points on the way of a level stretch are left out: most forwards are idle most of the time. */
export function lineOf(numbers: readonly number[], most: number): string {
  if (numbers.length < 2) return ''
  const left = leftOf(numbers)
  const levels = numbers.map(number => height - Math.round((number / most) * height))
  return levels
    .flatMap((y, i) =>
      y === levels[i - 1] && y === levels[i + 1] ? [] : `${i === 0 ? 'M' : 'L'}${left + i} ${y}`,
    )
    .join('')
}

function leftOf(numbers: readonly number[]): number {
  return samples - numbers.length
}
