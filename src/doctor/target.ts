import { encodeProxyV1, encodeProxyV2 } from '../forward/proxy-header.ts'
import { reach } from './reach.ts'

/** What a server does when it got these bytes: waits for more, answers them, or closes without a word. */
type Reaction = 'waits' | 'answers' | 'closes'

/** Milliseconds that a target has to show what it makes of the first bytes. */
const patience = 500

/** Two line ends: harmless before a request, and no beginning of a PROXY header. */
const bare = Buffer.from('\r\n\r\n')

/**
 * Whether a target expects the header that it is sent. Sends no request: at most a header of a check (LOCAL, UNKNOWN),
 * or an empty line. A server that gets a header and knows none takes it for a broken request: it answers or closes. One
 * that expects a header and gets none closes without a word.
 */
export async function headerExpected(
  host: string,
  port: number,
  sendProxy: false | 'v1' | 'v2',
): Promise<'fits' | 'missing' | 'unexpected' | 'unknown' | { readonly error: string }> {
  const header =
    sendProxy === 'v1' ? encodeProxyV1(undefined, undefined) : encodeProxyV2(undefined, undefined, []).bytes
  const [silent, without, withHeader] = await Promise.all(
    [undefined, bare, header].map(bytes => reaction(host, port, bytes)),
  )
  if (typeof silent === 'object') return silent
  // One that speaks first tells nothing by speaking.
  if (silent !== 'waits') return 'unknown'
  if (sendProxy === false) return without === 'closes' && withHeader === 'waits' ? 'missing' : 'fits'
  return withHeader !== 'waits' && without !== 'closes' ? 'unexpected' : 'fits'
}

async function reaction(
  host: string,
  port: number,
  bytes: Buffer | undefined,
): Promise<Reaction | { readonly error: string }> {
  const reached = await reach(host, port)
  if ('error' in reached) return reached
  const { socket } = reached
  if (bytes !== undefined) socket.write(bytes)
  return new Promise(resolve => {
    const timer = setTimeout(() => settle('waits'), patience)
    const settle = (reaction: Reaction) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(reaction)
    }
    socket.on('data', () => settle('answers'))
    socket.on('end', () => settle('closes'))
    socket.on('error', () => settle('closes'))
  })
}
