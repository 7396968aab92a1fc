import * as v from 'valibot'
import { canonical, familyOf, parseHostPorts } from '../address.ts'

/**
 * The kinds of values in the config file, as valibot schemas. Their messages say what is allowed.
 * Descriptions and patterns stand before the transform, or they would be missing from the JSON Schema.
 */

export const DURATION = 'a duration such as 250ms, 5s, 2m or 1h, more than 0 and at most 576h'
const DURATION_OR_ZERO = '0s, or a duration such as 250ms, 5s, 2m or 1h, at most 576h'
const LONGEST = 576 * 3_600_000 // setTimeout takes at most 2^31 - 1 ms, 596 h
const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** `250ms 5s 2m 1h` → milliseconds; `undefined` when the text is none or longer than 576h. */
export function parseDuration(text: string): number | undefined {
  const match = /^(0|[1-9]\d{0,9})(ms|s|m|h)$/.exec(text)
  if (match === null) return undefined
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  return ms <= LONGEST ? ms : undefined
}

/** A string that `parse` turns into something else, or refuses by answering `undefined`. */
export function text<T>(
  description: string,
  allowed: string,
  pattern: RegExp,
  parse: (text: string) => T | undefined,
) {
  return v.pipe(
    v.string(allowed),
    v.regex(pattern, allowed),
    v.description(description),
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      const value = parse(dataset.value)
      if (value !== undefined) return value
      addIssue({ message: allowed })
      return NEVER
    }),
  )
}

export const duration = (description: string) =>
  text(description, DURATION, /^[1-9]\d{0,9}(ms|s|m|h)$/, parseDuration)

export const durationOrZero = (description: string) =>
  text(description, DURATION_OR_ZERO, /^(0|[1-9]\d{0,9})(ms|s|m|h)$/, parseDuration)

/** 1 to 65535. */
const portPattern = '([1-9]\\d{0,3}|[1-5]\\d{4}|6[0-4]\\d{3}|65[0-4]\\d\\d|655[0-2]\\d|6553[0-5])'

/** `host:port` or `host:a-b`; that a range ascends is not in it. */
export const hostPortsPattern = new RegExp(
  `^(\\[[0-9A-Fa-f:.]+\\]|[^:[\\]\\s]*):${portPattern}(-${portPattern})?$`,
)

export const hostPorts = (description: string, allowed: string) =>
  text(description, allowed, hostPortsPattern, parseHostPorts)

export const ipAddress = (description: string) =>
  text(description, 'an IP address', /^[0-9A-Fa-f:.]+$/, address =>
    familyOf(address) === 0 ? undefined : canonical(address),
  )

export const path = (description: string) =>
  v.pipe(v.string('a path'), v.regex(/^[^\0]+$/, 'a path'), v.description(description))

const PORT = 'a whole number from 1 to 65535'

export const port = (description: string) =>
  v.pipe(
    v.number(PORT),
    v.integer(PORT),
    v.minValue(1, PORT),
    v.maxValue(65_535, PORT),
    v.description(description),
  )

const COUNT = 'a whole number from 1 to 1000000'

export const count = (description: string) =>
  v.pipe(
    v.number(COUNT),
    v.integer(COUNT),
    v.minValue(1, COUNT),
    v.maxValue(1_000_000, COUNT),
    v.description(description),
  )

/** One of a few words. */
export function choice<const T extends readonly string[]>(description: string, options: T) {
  return v.pipe(v.picklist(options, options.join(', ')), v.description(description))
}
