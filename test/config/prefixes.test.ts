import t from 'tap'
import { parseCidr } from '../../src/address.ts'
import { Prefixes } from '../../src/config/prefixes.ts'

t.test('an address is in a set of prefixes or not, asked once or again', async t => {
  const prefixes = new Prefixes(['10.1.10.0/24', '2001:db8::/32'].map(text => parseCidr(text)!))
  for (const [address, isIn] of [
    ['10.1.10.255', true],
    ['10.1.11.0', false],
    ['2001:db8:ffff::1', true],
    ['2001:db9::', false],
    ['', false],
    ['fe80::1%eth0', false],
    ['2001:db8::1%eth0', false],
    ['a name', false],
  ] as const)
    for (let asked = 0; asked < 2; asked++) t.equal(prefixes.has(address), isIn, address)
})

t.test('nothing is in no prefixes', async t => {
  const none = new Prefixes([])
  t.same(
    ['', '10.1.10.2', '::1'].map(address => none.has(address)),
    [false, false, false],
  )
})
