import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import t from 'tap'
import { Backend, config, eventually, forwarding, open, outcome } from '../forward/bench.ts'

/** What happens to bytes, ends and resets between two sockets. */

async function pair(t: Parameters<typeof forwarding>[0], timeouts = {}) {
  const backend = await Backend.listen(t)
  const base = config(backend.port)
  const world = await forwarding(t, [{ ...base, timeouts: { ...base.timeouts, ...timeouts } }])
  const client = await open(world.port)
  const target = await backend.socket()
  t.teardown(() => client.destroy())
  return { ...world, client, target }
}

t.test('bytes both ways at once arrive whole', async t => {
  const { client, target } = await pair(t)
  const data = randomBytes(8 << 20)
  const digest = async (socket: Socket) => {
    const hash = createHash('sha256')
    // Not `for await`: that destroys the socket at its end, with its own writes still pending.
    socket.on('data', chunk => hash.update(chunk))
    await once(socket, 'end')
    return hash.digest('hex')
  }
  const received = [digest(client), digest(target)]
  client.end(data)
  target.end(data)
  const want = createHash('sha256').update(data).digest('hex')
  t.same(await Promise.all(received), [want, want])
})

for (const first of ['client', 'target'] as const) {
  t.test(`half-close: the ${first} ends first, the other direction goes on`, async t => {
    const { client, target, status, logged } = await pair(t)
    const [ending, other] = first === 'client' ? [client, target] : [target, client]
    const seen = outcome(other)
    ending.end('that is all')
    t.same(await seen, { received: 'that is all', end: 'end' })
    const answer = outcome(ending)
    const megabytes = randomBytes(3 << 20)
    other.end(megabytes)
    const { received, end } = await answer
    t.equal(end, 'end')
    t.ok(Buffer.from(received, 'latin1').equals(megabytes))
    await eventually(() => status().active === 0)
    t.match(logged('connection ended'), [{ end: 'complete' }])
  })

  t.test(`a reset by the ${first} is passed on as a reset`, async t => {
    const { client, target, logged, status } = await pair(t)
    const [resetting, other] = first === 'client' ? [client, target] : [target, client]
    resetting.on('error', () => {})
    const seen = outcome(other)
    other.write('x')
    await once(resetting, 'readable')
    resetting.resetAndDestroy()
    t.match(await seen, { end: 'ECONNRESET' })
    await eventually(() => status().active === 0)
    t.match(logged('connection ended'), [{ end: `${first}-reset`, detail: 'ECONNRESET' }])
  })

  t.test(
    `back-pressure: a ${first === 'client' ? 'target' : 'client'} that does not read stops the ${first}`,
    async t => {
      const { client, target } = await pair(t)
      const [writer, reader] = first === 'client' ? [client, target] : [target, client]
      reader.pause()
      const piece = randomBytes(1 << 20)
      let written = 0
      // It has to wait once the buffers of two sockets and of the relay are full; 64 MiB are far beyond them.
      let waiting = false
      while (written < 64 && !waiting) {
        written++
        if (writer.write(piece)) continue
        const drained = once(writer, 'drain').then(() => false)
        waiting = await Promise.race([drained, new Promise<true>(resolve => setTimeout(resolve, 300, true))])
      }
      t.ok(waiting, `the writer had to wait after ${written} MiB`)
      let read = 0
      reader.on('data', chunk => {
        read += chunk.length
      })
      reader.resume()
      writer.end()
      await once(reader, 'end')
      t.equal(read, written << 20, 'and not a byte is missing once it reads')
    },
  )
}

t.test('silence: idle, and half-closed', async t => {
  const idle = await pair(t, { idle: 200 })
  t.match(await outcome(idle.client), { end: 'ECONNRESET' })
  await eventually(() => idle.status().active === 0)
  t.match(idle.logged('connection ended'), [{ end: 'idle-timeout', detail: 'nothing moved for 200 ms' }])
  const half = await pair(t, { halfClosed: 200 })
  half.client.end()
  t.match(await outcome(half.client), { end: 'ECONNRESET' })
  await eventually(() => half.status().active === 0)
  t.match(half.logged('connection ended'), [{ end: 'half-closed-timeout' }])
})

t.test('what moves is not silent', async t => {
  const { client, target, logged } = await pair(t, { idle: 400 })
  for (let i = 0; i < 8; i++) {
    client.write('x')
    await once(target, 'data')
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  t.same(logged('connection ended'), [])
})

t.test('a reset does not wait for a peer that does not read, and no end comes before it', async t => {
  const { client, target, status, forwarder } = await pair(t)
  client.pause()
  const piece = randomBytes(1 << 20)
  // More than the sockets and the relay hold: bytes for the client are pending when the reset comes.
  for (let i = 0; i < 32; i++) target.write(piece)
  await eventually(() => status().sentBytes > 1 << 20)
  await forwarder.drain(AbortSignal.abort())
  t.equal(status().active, 0)
  client.resume()
  t.equal((await outcome(client)).end, 'ECONNRESET')
  target.destroy()
})
