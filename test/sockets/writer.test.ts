import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { reset } from '../../src/sockets/reset.ts'
import { small, write } from '../../src/sockets/writer.ts'

/** Small writes past the stream: each byte once, in order, and never to anybody else. */

interface Handled extends Socket {
  readonly _handle: { readonly fd: number; readonly reading: boolean }
}

/** Whether the kernel is asked for what comes, and so for its end. */
function isRead(socket: Socket): boolean {
  return (socket as Handled)._handle.reading
}

/** A connection on loopback; its server's side is paused. */
async function pair(t: Test, prepare = (_: Socket): unknown => undefined): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const near = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  prepare(near)
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
  const { fd } = (near as Handled)._handle
  near.destroy()
  const others = [await pair(t), await pair(t), await pair(t)]
  const numbers = others.flat().map(socket => (socket as Handled)._handle.fd)
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

t.test('a connection that was reset fails with what the kernel says first, and says it once', async t => {
  const [near, far] = await pair(t, pair => pair.pause())
  reset(far)
  const codes: unknown[] = []
  near.on('error', (error: NodeJS.ErrnoException) => codes.push(error.code))
  t.equal(isRead(near), false, 'only a write finds out')
  // Over loopback it is there when close() returns.
  t.equal(write(near, Buffer.from('x')), false, 'nobody is to go on')
  t.equal(write(near, Buffer.from('y')), false)
  t.same(
    [near.writableLength, codes],
    [0, []],
    'nothing waits, and nobody is called in the middle of a write',
  )
  await new Promise(resolve => near.once('close', resolve))
  t.same(codes, ['ECONNRESET'])
})

t.test('a write of nothing finds out, too', async t => {
  const [near, far] = await pair(t, pair => pair.pause())
  reset(far)
  write(near, Buffer.alloc(0))
  const [error] = await once(near, 'error')
  t.equal((error as NodeJS.ErrnoException).code, 'ECONNRESET')
})

t.test('behind what a corked stream holds, and where there is no descriptor to write to', async t => {
  const [near, far] = await pair(t)
  near.cork()
  near.write('one ')
  write(near, Buffer.from('two '))
  near.uncork()
  Object.defineProperty((near as Handled)._handle, 'fd', { value: -1 })
  t.equal(write(near, Buffer.from('three ')), true)
  Object.defineProperty(near, '_handle', { value: { ...(near as Handled)._handle, fd: undefined } })
  const through: string[] = []
  near.write = (chunk: Buffer) => through.push(chunk.toString()) > 0
  t.equal(write(near, Buffer.from('four')), true)
  t.same(through, ['four'])
  far.resume()
  let got = ''
  while (got.length < 'one two three '.length) got += (await once(far, 'data'))[0]
  t.equal(got, 'one two three ')
})
