import type { Ends } from './ends.ts'
import { encodeProxyV1, encodeProxyV2 } from './proxy-header.ts'

/**
 * What says that nobody is behind a connection. In v2 that is LOCAL, which every receiver has to take (section 2.2). v1 has
 * no such word: the line tells the two ends of the connection itself, as HAProxy's own checks do, which every receiver
 * takes; UNKNOWN is refused by many (see `encodeProxyV1`).
 * @param own the connection's ends.
 */
export function checkHeader(sendProxy: 'v1' | 'v2', own: Ends): Buffer {
  return sendProxy === 'v1'
    ? encodeProxyV1(own.source, own.destination)
    : encodeProxyV2(undefined, undefined, []).bytes
}
