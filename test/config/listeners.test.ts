import fc from 'fast-check'
import t from 'tap'
import { familyOf, parseHostPorts } from '../../src/address.ts'
import type { TunnelConfig } from '../../src/config/config.ts'
import { collisions, type ListenerPlan } from '../../src/config/listeners.ts'

const tunnel = {
  addresses: [
    { address: '10.1.10.1', bits: 32, family: 4 },
    { address: 'fd00::1', bits: 128, family: 6 },
  ],
} as unknown as TunnelConfig

const texts: Record<string, readonly string[]> = {
  '': ['all4', 'all6'],
  '[::]': ['all4', 'all6'],
  '0.0.0.0': ['all4'],
  localhost: ['127.0.0.1', '::1'],
  tunnel: ['tunnel', '10.1.10.1', 'fd00::1'],
  '10.1.10.1': ['10.1.10.1'],
  '192.0.2.1': ['192.0.2.1'],
  '[fd00::1]': ['fd00::1'],
  '[::1]': ['::1'],
  'example.com': ['example.com'],
}

/** What excludes what, said once more: everything of a family, and the tunnel's addresses, which may not be known. */
function excludes(one: string, other: string): boolean {
  const covers = (all: string, what: string) =>
    (all === 'all4' && (familyOf(what) === 4 || what === 'tunnel')) ||
    (all === 'all6' && (familyOf(what) === 6 || what === 'tunnel'))
  return one === other || covers(one, other) || covers(other, one)
}

const listens = fc.array(
  fc
    .tuple(
      fc.constantFrom(...Object.keys(texts)),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 0, max: 3 }),
    )
    .map(([host, first, more]) => ({ host, first, last: first + more })),
  { maxLength: 8 },
)

t.test('each listener with the first one before it that it cannot be beside', async () => {
  fc.assert(
    fc.property(listens, list => {
      const plans = list.map(
        ({ host, first, last }, index): ListenerPlan => ({
          path: [`${index}`],
          protocol: 'tcp',
          listen: parseHostPorts(`${host}:${first}-${last}`)!,
        }),
      )
      const expected = list.flatMap((later, index) => {
        const at = list
          .slice(0, index)
          .findIndex(
            earlier =>
              earlier.first <= later.last &&
              later.first <= earlier.last &&
              texts[earlier.host]!.some(one => texts[later.host]!.some(other => excludes(one, other))),
          )
        return at === -1 ? [] : [`${at} ${index} ${Math.max(list[at]!.first, later.first)}`]
      })
      const found = collisions(plans, tunnel).map(
        ({ earlier, later, port }) => `${earlier.path} ${later.path} ${port}`,
      )
      return found.join() === expected.join()
    }),
  )
})
