import { parseCidr } from '../address.ts'

/** What is wrong with a text behind `src` that is no prefix, and what HAProxy makes of it. */
export function prefixProblem(text: string): string | undefined {
  if (parseCidr(text) !== undefined) return undefined
  const short = /^(\d+(?:\.\d+){0,2})(\/\d+)?$/.exec(text)
  if (short !== null) {
    const parts = short[1]!.split('.')
    const filled = [...parts, ...new Array<string>(4 - parts.length).fill('0')].join('.')
    return `${text} is ${read(parts)}${short[2] ?? ''} to HAProxy; write that, or ${filled}${short[2] ?? ''} if you mean it`
  }
  const mask = /^([\d.]+)\/(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)
  if (mask !== null) {
    const bits = mask
      .slice(2)
      .map(byte => Number(byte).toString(2).padStart(8, '0'))
      .join('')
    const length = /^(1*)0*$/.exec(bits)?.[1]?.length
    const fix = length === undefined ? 'write the prefixes that it stands for' : `write ${mask[1]}/${length}`
    return `${text} is no prefix; ${fix}`
  }
  return `${text} is no prefix; write one such as 10.0.0.0/8`
}

/** As inet_aton(3) does: the last number fills what is left. */
function read(parts: readonly string[]): string {
  const head = parts.slice(0, -1)
  const width = 4 - head.length
  let rest = Number(parts.at(-1))
  const tail: number[] = []
  for (let i = 0; i < width; i++) {
    tail.unshift(rest % 256)
    rest = Math.floor(rest / 256)
  }
  return [...head, ...tail].join('.')
}
