import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { allSent } from '../../src/sockets/unsent.ts'

/** A server that reads nothing yet, and how much it gets once it does. */
async function slowReader(t: Test, host: string) {
  const server = createServer({ pauseOnConnect: true })
  await once(server.listen(0, host), 'listening')
  t.teardown(() => server.close())
  const socket = once(server, 'connection').then(([socket]) => socket as Socket)
  return {
    port: (server.address() as { port: number }).port,
    async read(): Promise<number> {
      let bytes = 0
      for await (const chunk of await socket) bytes += chunk.length
      return bytes
    },
  }
}

/** Sends until the kernel takes no more, and closes; returns how much that was. */
async function fill(host: string, port: number): Promise<number> {
  const socket = connect({ host, port, localAddress: host })
  await once(socket, 'connect')
  while (socket.writableLength === 0) {
    socket.write(Buffer.alloc(65_536))
    await new Promise(resolve => setImmediate(resolve))
  }
  const { bytesWritten, writableLength } = socket
  socket.destroy()
  await once(socket, 'close')
  return bytesWritten - writableLength
}

for (const host of ['127.7.7.7', '::1'])
  t.test(`what a closed connection from ${host} still has to send is waited for`, async t => {
    const reader = await slowReader(t, host)
    const filled = await fill(host, reader.port)
    let isSent = false
    const sent = allSent([host], new AbortController().signal).then(() => {
      isSent = true
    })
    await new Promise(resolve => setTimeout(resolve, 300))
    t.notOk(isSent, 'while nobody reads it')
    t.ok((await reader.read()) >= filled)
    await sent
  })

t.test('not longer than it may take, nor for others', async t => {
  const began = performance.now()
  const reader = await slowReader(t, '127.7.7.8')
  await fill('127.7.7.8', reader.port)
  await allSent(['127.7.7.9'], new AbortController().signal)
  const late = new AbortController()
  const sent = allSent(['127.7.7.8'], late.signal)
  late.abort()
  await sent
  t.ok(performance.now() - began < 4000)
  await reader.read()
})
