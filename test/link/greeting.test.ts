import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { LinkError } from '../../src/link/frame.ts'
import {
  decodeGreeting,
  defaults,
  encodeGreeting,
  greetingKind,
  greetingLength,
  readFirst,
} from '../../src/link/greeting.ts'

const greeting = { ...defaults, kind: greetingKind.link, token: Buffer.alloc(16, 7) }

t.test('a greeting is read as it was written', async t => {
  t.equal(encodeGreeting(greeting).length, greetingLength)
  t.same(decodeGreeting(encodeGreeting(greeting)), greeting)
})

t.test('the magic must be right, byte for byte', async t => {
  for (let i = 0; i < 8; i++) {
    const bytes = encodeGreeting(greeting)
    bytes[i]! ^= 1
    t.throws(() => decodeGreeting(bytes), LinkError)
  }
})

async function pair(t: Test): Promise<{ sending: Socket; reading: Socket }> {
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as { port: number }
  const sending = connect({ port, host: '127.0.0.1', autoSelectFamily: false })
  const [reading] = (await once(server, 'connection')) as [Socket]
  server.close()
  t.teardown(() => {
    sending.destroy()
    reading.destroy()
  })
  return { sending, reading }
}

t.test('first bytes: split, or fused with what follows, which is put back', async t => {
  const { sending, reading } = await pair(t)
  const first = readFirst(reading, 4, 5000)
  sending.write('ab')
  await new Promise(resolve => setTimeout(resolve, 20))
  sending.write('cdefg')
  t.equal((await first).toString(), 'abcd')
  reading.resume()
  const [rest] = (await once(reading, 'data')) as [Buffer]
  t.equal(rest.toString(), 'efg')
})

t.test('first bytes that do not come, or not all', async t => {
  const silent = await pair(t)
  await t.rejects(readFirst(silent.reading, 4, 30), /4 bytes did not come within 30 ms/)
  const short = await pair(t)
  short.sending.end('ab')
  await t.rejects(readFirst(short.reading, 4, 5000), /closed before its first bytes/)
})
