import { isHostName } from '../address.ts'

/**
 * A TLS server name as it is compared: lower case, without the dot at its end. `undefined` when it is no host name: an
 * address is none (RFC 6066 section 3).
 */
export function parseServerName(text: string): string | undefined {
  // The regular expressions of isHostName are for short texts.
  if (text.length > 255 || !isHostName(text)) return undefined
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  return name.toLowerCase()
}

/** A key of `routes`: a server name, or `*.` and one, for all names below it. */
export function parseRouteName(text: string): string | undefined {
  const isWildcard = text.startsWith('*.')
  const name = parseServerName(isWildcard ? text.slice(2) : text)
  return isWildcard && name !== undefined ? `*.${name}` : name
}
