import { createServer } from 'node:net'
import t from 'tap'
import { freePort } from '../fixtures/free-port.ts'
import { at, config, forwarding, links } from '../forward/bench.ts'
import { helloFor } from '../forward/hello.ts'
import { listening } from '../link/bench.ts'
import { bytes, dialLink, frame, hear, open } from './far-end.ts'

/** A far end that sends a ClientHello which ends the stream while it is kept. */

t.test('a name without a route, over a link: that stream is refused, and nothing else', async t => {
  const echo = createServer(socket => socket.pipe(socket))
  const target = await listening(echo)
  t.teardown(() => echo.close())
  const [linkPort, inner] = [await freePort(), await freePort()]
  const upstream = { targets: [at('127.0.0.1', target)], balance: 'first', check: false } as const
  const { logged, forwarder } = await forwarding(
    t,
    [
      config(0, {
        acceptProxy: 'any',
        listen: at('tunnel', inner),
        upstream: { targets: [], balance: 'first', check: 'passive' },
        routes: [{ name: 'www.example.com', upstream }],
      }),
    ],
    { tunnel: ['127.0.0.1'], link: links(linkPort) },
  )
  const { socket } = await dialLink({ host: '127.0.0.1', port: linkPort })
  const ping = hear(socket)
  socket.write(Buffer.concat([open(1, inner), bytes(1, frame.data, helloFor('example.org'))]))
  t.ok(await ping(), 'the link lives')
  t.match(logged('connection refused'), [{ reason: 'no-route', detail: 'example.org' }])
  t.equal(forwarder.status()[0]!.active, 0)
  socket.destroy()
})
