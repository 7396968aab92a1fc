import { randomBytes } from 'node:crypto'
import { readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { frame } from '../../src/link/frame.ts'
import { Inbox } from '../../src/link/inbox.ts'
import { eventually, linked, receive } from './bench.ts'

/** Frames that say that a stream has switched to its lane come late, as on a long path: the stream may be over by then. */
const { control } = Inbox.prototype
Inbox.prototype.control = function (id, type, payload) {
  if (type !== frame.switch) return control.call(this, id, type, payload)
  const copy = Buffer.from(payload)
  setTimeout(() => control.call(this, id, type, copy), 30)
}

function openSockets(): number {
  const links = readdirSync('/proc/self/fd').map(fd => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  })
  return links.filter(link => link.startsWith('socket:')).length
}

for (const first of ['client', 'target'] as const)
  t.test(
    `a stream that is over before the far end has switched leaves no lane open: ${first} first`,
    async t => {
      const world = await linked(t)
      // Lanes are at hand once no more come.
      let before = 0
      while (openSockets() > before) {
        before = openSockets()
        await sleep(300)
      }
      const seen = new Set<number>()
      const watch = setInterval(() => seen.add(world.session().promoted), 0)
      for (let i = 0; i < 8; i++) {
        const { client, target } = await world.client()
        const [ending, other] = first === 'client' ? [client, target] : [target, client]
        ending.end('that is all')
        await receive(other)
        const received = receive(ending)
        other.end(randomBytes(290_000))
        t.match(await received, { bytes: 290_000, end: 'end' })
      }
      clearInterval(watch)
      t.ok(seen.has(1), 'they were promoted')
      await eventually(() => openSockets() <= before)
      t.equal(world.session().streams, 0)
    },
  )
