import t from 'tap'
import type { RawLink } from './far-end.ts'
import { tell, unharmed } from './watch.ts'
import { attackWorld, farEnd, hostileLink, victimLink } from './world.ts'

/** The world of the attacks itself: a hostile peer that does nothing yet. */
const world = await attackWorld()
t.teardown(() => world.lab.close())

t.test('a peer by hand has links both ways, and good clients are measured beside', async t => {
  const alone = await world.watch.alone(500)
  tell(t, 'alone', alone)
  unharmed(t, alone, alone)
  const echoed = await world.hostile.run(
    async ({ module, at }) => {
      const { bytes, dialLink, frame, open } = await import(module)
      const { socket }: RawLink = await dialLink(at)
      socket.write(Buffer.concat([open(1, 9002), bytes(1, frame.data, Buffer.from('hello'))]))
      return new Promise(resolve => {
        let text = ''
        socket.on('data', chunk => {
          text += chunk.toString('latin1')
          if (text.includes('hello')) resolve(text.length)
        })
      })
    },
    { module: farEnd, at: victimLink },
  )
  t.ok(Number(echoed) > 5, 'a stream of its own is served')
  await world.hostile.run(
    async ({ module, at }, { state }) => {
      const { acceptLinks } = await import(module)
      await new Promise<void>(resolve =>
        acceptLinks(at, (link: RawLink) => {
          state.set('link', link)
          resolve()
        }),
      )
    },
    { module: farEnd, at: hostileLink },
  )
  t.ok(
    await world.victim.logged(({ msg, address }) => msg === 'link up' && address === '10.1.10.3:9587'),
    'the victim dials it',
  )
})
