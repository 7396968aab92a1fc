import { readdirSync, readlinkSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type { Test } from 'tap'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, config, eventually, forwarding, links, to } from '../forward/bench.ts'
import { listening } from '../link/bench.ts'

/**
 * An end in this process, with two peers on loopback: `evil` is 127.0.0.2, `kind` 127.0.0.3. Forwards of an echo: `web`
 * takes clients without a header at 127.0.0.1, `inner` those of links.
 */
export async function victim(t: Test, limit = Number.POSITIVE_INFINITY) {
  const echo = createServer({ allowHalfOpen: true }, socket => socket.on('error', () => {}).pipe(socket))
  const target = to(at('127.0.0.1', await listening(echo)))
  t.teardown(() => echo.close())
  const [linkPort, inner] = [await freePort(), await freePort()]
  const descriptors = new Descriptors(limit)
  const peer = (publicKey: string, address: string) =>
    ({ publicKey, allowedIps: [{ address, bits: 32, family: 4 }] }) as const
  const { port, logged, forwarder } = await forwarding(
    t,
    [
      config(0, { name: 'web', upstream: target }),
      config(0, { name: 'inner', upstream: target, acceptProxy: 'any', listen: at('tunnel', inner) }),
    ],
    {
      descriptors,
      tunnel: ['127.0.0.1'],
      link: links(linkPort),
      peers: [peer('evil', '127.0.0.2'), peer('kind', '127.0.0.3')],
    },
  )
  const from = (localAddress: string) => ({ host: '127.0.0.1', port: linkPort, localAddress })
  return {
    descriptors,
    forwarder,
    logged,
    /** Where clients connect, and what streams ask for. */
    web: port,
    inner,
    evil: from('127.0.0.2'),
    kind: from('127.0.0.3'),
    /** Sockets of this process, the attack's own among them. */
    files: openSockets,
    /** Of who came first and was not cut. */
    async left(sockets: readonly Socket[], count: number) {
      const open = () => sockets.filter(socket => !socket.destroyed).length
      await eventually(() => open() <= count)
      await new Promise(resolve => setTimeout(resolve, 100))
      return open()
    },
  }
}

function openSockets(): number {
  const names = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return names.filter(name => name.startsWith('socket:')).length
}
