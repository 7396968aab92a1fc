import fc from 'fast-check'
import t from 'tap'
import { type Cidr, covers, parseCidr } from '../../src/address.ts'
import { Covered } from '../../src/config/covered.ts'

const v4 = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 32 }))
const v6 = fc.tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 0, max: 128 }))
const prefixes = fc.array(
  fc.oneof(
    v4.map(([part, bits]) => parseCidr(`10.${part & 3}.${part >> 6}.${part}/${bits}`)!),
    v6.map(([part, bits]) => parseCidr(`fd00:${part & 3}::${part.toString(16)}/${bits}`)!),
  ),
  { maxLength: 12 },
)
const addresses = fc.oneof(
  v4.map(([part]) => `10.${part & 3}.${part >> 6}.${part}`),
  v6.map(([part]) => `fd00:${part & 3}::${part.toString(16)}`),
)

t.test('what one prefix after the other would say', async () => {
  fc.assert(
    fc.property(prefixes, addresses, fc.integer({ min: 0, max: 128 }), (list, address, most) => {
      const covered = new Covered(list)
      const bits = (prefix: Cidr | undefined) => prefix?.bits ?? -1
      const longest = (most: number) =>
        Math.max(-1, ...list.filter(one => one.bits <= most && covers(one, address)).map(({ bits }) => bits))
      return (
        covered.has(address) === list.some(one => covers(one, address)) &&
        bits(covered.find(address)) === longest(128) &&
        bits(covered.find(address, most)) === longest(most)
      )
    }),
  )
})

t.test('the first of equal ones; no name', async t => {
  const [a, b] = [parseCidr('10.0.0.1/24')!, parseCidr('10.0.0.2/24')!]
  t.equal(new Covered([a, b]).find('10.0.0.9'), a)
  t.equal(new Covered([parseCidr('0.0.0.0/0')!]).has('x'), false)
  t.equal(new Covered([]).has('10.0.0.1'), false)
})
