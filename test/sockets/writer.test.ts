import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { reset } from '../../src/sockets/reset.ts'
import { small, write } from '../../src/sockets/writer.ts'

/** Small writes past the stream: each byte once, in order, and never to anybody else. */

/** A connection on loopback; its server's side is paused. */
async function pair(t: Test): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [far] = (await once(server, 'connection')) as [Socket]
  await once(near, 'connect')
  near.on('error', () => {})
  far.on('error', () => {})
  server.close()
  t.teardown(() => [near, far].map(socket => socket.destroy()))
  return [near, far]
}

/** Numbers in order: what is lost, doubled or overwritten shows. */
function numbered(from: number, bytes: number): Buffer {
  const words = Buffer.alloc(bytes)
  for (let at = 0; at < bytes; at += 4) words.writeUInt32BE(from + at / 4, at)
  return words
}

t.test('few bytes are with the kernel when it returns', async t => {
  const [near, far] = await pair(t)
  let seen = 0
  const through = near.write.bind(near)
  near.write = ((...args: Parameters<typeof through>) => {
    seen++
    return through(...args)
  }) as Socket['write']
  const bytes = Buffer.from('a question and more')
  t.equal(write(near, bytes, 2, 10), true)
  bytes.fill(0)
  t.match({ seen, waiting: near.writableLength }, { seen: 0, waiting: 0 })
  const [got] = (await once(far.resume(), 'data')) as [Buffer]
  t.equal(got.toString(), 'question')
  write(near, Buffer.alloc(small + 1))
  t.equal(seen, 1, 'larger ones are the stream’s')
})

t.test('to one that does not read for a while, in buffers that are used again at once', async t => {
  const [near, far] = await pair(t)
  const reused = Buffer.alloc(small)
  let sent = 0
  let hasWaited = 0
  const send = async (bytes: number) => {
    numbered(sent / 4, bytes).copy(reused)
    const goOn = write(near, reused, 0, bytes)
    reused.fill(0xff)
    sent += bytes
    if (goOn) return
    hasWaited++
    if (far.isPaused()) far.resume()
    await once(near, 'drain')
    if (hasWaited % 3 === 0) far.pause()
  }
  let next = 0
  let rest = Buffer.alloc(0)
  far.on('data', (part: Buffer) => {
    rest = Buffer.concat([rest, part])
    const whole = rest.length - (rest.length % 4)
    for (let at = 0; at < whole; at += 4)
      if (rest.readUInt32BE(at) !== next++) t.fail(`word ${next - 1} is another one`)
    rest = rest.subarray(whole)
  })
  far.pause()
  for (let i = 0; hasWaited < 20; i++) await send(4 + 4 * (i % 1000))
  far.resume()
  near.end()
  await once(far, 'end')
  t.equal(next * 4, sent)
  t.ok(hasWaited >= 20)
})

t.test('one that is closed writes to nobody, though its number is another one’s', async t => {
  const [near] = await pair(t)
  const { fd } = (near as Socket & { _handle: { fd: number } })._handle
  near.destroy()
  const others = [await pair(t), await pair(t), await pair(t)]
  const numbers = others.flat().map(socket => (socket as Socket & { _handle: { fd: number } })._handle.fd)
  t.ok(numbers.includes(fd), 'it is')
  write(near, Buffer.from('lost'))
  await turn()
  for (const socket of others.flat()) t.equal(socket.read(), null)
})

t.test('behind its end, and before it is connected', async t => {
  const [near, far] = await pair(t)
  near.end('whole')
  near.removeAllListeners('error').on('error', () => {})
  write(near, Buffer.from('more'))
  t.same(Buffer.concat(await far.toArray()).toString(), 'whole')

  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const early = connect((server.address() as { port: number }).port, '127.0.0.1')
  t.teardown(() => early.destroy())
  write(early, Buffer.from('early'))
  const [accepted] = (await once(server, 'connection')) as [Socket]
  server.close()
  const [got] = (await once(accepted, 'data')) as [Buffer]
  t.equal(got.toString(), 'early')
  accepted.destroy()
})

t.test('a connection that was reset says so', async t => {
  const [near, far] = await pair(t)
  const closed = new Promise(resolve => near.once('close', resolve))
  let code: string | undefined
  near.on('error', (error: NodeJS.ErrnoException) => (code = error.code))
  reset(far)
  // Nobody reads: only the write finds out.
  near.pause()
  while (!near.destroyed) {
    write(near, Buffer.from('x'))
    await turn()
  }
  await closed
  t.match(code, /^(ECONNRESET|EPIPE)$/)
})
