import { encodeProxyV1, encodeProxyV2 } from './proxy-header.ts'

/**
 * What says that nobody is behind a connection: LOCAL in v2, which every receiver has to take (section 2.2), UNKNOWN in v1,
 * which several refuse (see `encodeProxyV1`).
 */
export function checkHeader(sendProxy: 'v1' | 'v2'): Buffer {
  return sendProxy === 'v1'
    ? encodeProxyV1(undefined, undefined)
    : encodeProxyV2(undefined, undefined, []).bytes
}
