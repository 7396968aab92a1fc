import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import t from 'tap'
import { eventually, linked, receive, sha256 } from './bench.ts'

/** What the two sides of a connection may do, in any order and interleaved with others. */
type Step =
  | { readonly do: 'write'; readonly by: 'client' | 'target'; readonly bytes: number }
  | { readonly do: 'end' | 'pause' | 'resume'; readonly by: 'client' | 'target' }
  | { readonly do: 'turn' }

const side = fc.constantFrom('client' as const, 'target' as const)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      by: side,
      bytes: fc.integer({ min: 1, max: 5000 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('write' as const),
      by: side,
      bytes: fc.integer({ min: 200_000, max: 900_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('end' as const, 'pause' as const, 'resume' as const),
      by: side,
    }),
  },
  { weight: 2, arbitrary: fc.constant({ do: 'turn' as const }) },
)

t.test('whatever the two sides do, each receives what the other has sent', { timeout: 180_000 }, async t => {
  const world = await linked(t)
  const play = async (steps: readonly Step[], ends: { client: Socket; target: Socket }) => {
    const sent = { client: [] as Buffer[], target: [] as Buffer[] }
    const received = { client: receive(ends.client), target: receive(ends.target) }
    for (const step of steps) {
      if (step.do === 'turn') await new Promise(resolve => setTimeout(resolve, 1))
      else if (step.do === 'write' && !ends[step.by].writableEnded) {
        const bytes = randomBytes(step.bytes)
        sent[step.by].push(bytes)
        ends[step.by].write(bytes)
      } else if (step.do === 'end') ends[step.by].end()
      else if (step.do !== 'write') ends[step.by][step.do]()
    }
    for (const socket of Object.values(ends) as Socket[]) {
      socket.resume()
      socket.end()
    }
    for (const [from, to] of [
      ['client', 'target'],
      ['target', 'client'],
    ] as const) {
      const all = Buffer.concat(sent[from])
      const got = await received[to]
      if (got.bytes !== all.length || got.hash !== sha256(all) || got.end !== 'end')
        throw new Error(`${to} got ${got.bytes} of ${all.length} bytes and ${got.end}`)
    }
  }
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { maxLength: 14 }), { minLength: 1, maxLength: 4 }),
      async connections => {
        // One after the other: which target belongs to which client shows by their order.
        const pairs = []
        for (const steps of connections) pairs.push({ steps, ends: await world.client() })
        await Promise.all(pairs.map(({ steps, ends }) => play(steps, ends)))
      },
    ),
    { numRuns: 40 },
  )
  await eventually(() => world.session().streams === 0)
  t.same(new Set([...world.ended.near, ...world.ended.far]), new Set(['complete']))
})
