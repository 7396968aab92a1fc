import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Writable } from 'node:stream'
import t from 'tap'
import { Delivery } from '../../src/link/delivery.ts'
import { Unread } from '../../src/link/unread.ts'
import type { ReadSocket } from '../../src/sockets/reader.ts'

/** A delivery to a socket that takes nothing until it is let. */
function stalled() {
  const taken: Buffer[] = []
  let take: (() => void) | undefined
  let isLet = false
  const local = new Writable({
    write(chunk, _, done) {
      take = () => {
        taken.push(Buffer.from(chunk))
        done()
      }
      if (isLet) setImmediate(take)
    },
  })
  const holdings = new Unread(1 << 30).join({})
  const delivery = new Delivery(holdings, {
    abort() {},
    taken() {},
    drained: () => delivery.drained(),
  })
  delivery.attach(local as ReadSocket, undefined)
  const go = () => {
    isLet = true
    take?.()
  }
  return { delivery, local, holdings, taken, go }
}

t.test('what waits in front of the end counts until it is taken', async t => {
  const { delivery, local, holdings, taken, go } = stalled()
  const parts = [1000, 2000, 200_000].map(length => randomBytes(length))
  for (const part of parts) delivery.deliver(part)
  t.ok(holdings.bytes >= 203_000)
  delivery.end()
  t.ok(delivery.unread >= 203_000, `${delivery.unread} bytes`)
  go()
  await once(local, 'finish')
  t.ok(Buffer.concat(taken).equals(Buffer.concat(parts)), 'whole, and in order')
  t.equal(delivery.unread, 0)
  t.equal(holdings.bytes, 0)
})
