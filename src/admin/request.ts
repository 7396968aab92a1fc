/**
 * The head of a request, as HTTP/1 has it (RFC 9112). What is not exactly that is refused: there is one request on a
 * connection, so nothing behind it is ever read as another.
 */

export interface Request {
  readonly method: string
  /** Without the query. */
  readonly path: string
  readonly query: string
  /** The Host header; `undefined` where HTTP/1.0 has none. */
  readonly host: string | undefined
}

/** Bytes of a head, with the empty line at its end. */
export const longestHead = 8192

const requestLine = /^([A-Z]{1,20}) ([!-~]+) HTTP\/1\.([01])$/
/** A name, a colon and a value, in ISO 8859-1. */
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/

/** @param head up to its empty line, without that. @returns `undefined` for what is no request. */
export function readRequest(head: string): Request | undefined {
  const [first = '', ...rest] = head.split('\r\n')
  const [, method, target, minor] = requestLine.exec(first) ?? []
  const headers = rest.map(line => headerLine.exec(line))
  if (method === undefined || headers.includes(null)) return undefined
  const hosts = headers.flatMap(header => (header![1]!.toLowerCase() === 'host' ? [header![2]!.trim()] : []))
  if (hosts.length > 1 || (hosts.length === 0 && minor === '1')) return undefined
  const [path, query = ''] = target!.split('?', 2)
  return { method, path: path!, query, host: hosts[0] }
}
