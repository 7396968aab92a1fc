import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { Descriptors, openFileLimit, usableOf } from '../../src/sockets/descriptors.ts'

t.test('the limit of this process', async t => {
  const file = (value: string) => () =>
    `Limit  Soft Limit  Hard Limit  Units\nMax open files  ${value}  4096  files\n`
  t.equal(openFileLimit(file('1024')), 1024)
  t.equal(openFileLimit(file('unlimited')), Number.POSITIVE_INFINITY)
  t.equal(
    openFileLimit(() => 'something else'),
    1024,
  )
  t.equal(
    openFileLimit(() => {
      throw new Error('ENOENT')
    }),
    1024,
  )
  t.ok(openFileLimit() >= 256)
})

t.test('counts what is taken, given back, and held by a socket', async t => {
  const descriptors = new Descriptors(1024)
  t.equal(descriptors.free, usableOf(1024))
  t.equal(usableOf(1024), 832)
  t.equal(usableOf(100), 0)
  descriptors.take(832)
  t.equal(descriptors.free, 0)
  t.notOk(descriptors.isLinkReserveUsed)
  descriptors.take(64)
  t.ok(descriptors.isLinkReserveUsed)
  descriptors.give(896)
  const server = createServer(socket => socket.end())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
  descriptors.hold(socket)
  t.equal(descriptors.used, 1)
  socket.resume()
  await once(socket, 'close')
  t.equal(descriptors.used, 0)
  server.close()
})
