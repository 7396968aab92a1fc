import t from 'tap'
import { parseCidr } from '../../src/address.ts'
import type { TunnelConfig } from '../../src/config/config.ts'
import { End, Namespace, pair } from './lab.ts'

/** What `check` takes as an Address, a device can have, and every listener of `tunnel:` can be bound there. */
t.test('addresses of every kind that is allowed: had, listened on, and kept', async t => {
  using space = new Namespace()
  const { gateway } = pair()
  const addresses = (...texts: string[]) => texts.map(text => parseCidr(text)!)
  await using end = new End(space, { config: gateway })
  await end.up()
  for (const [own, linkLocal] of [
    [addresses('10.1.10.1/24'), addresses('fe80::2/64')],
    [addresses('10.1.10.1/24', '10.1.10.1/32', 'fd00:10::1/64'), []],
    [addresses('10.1.11.0/24', '10.1.12.255/24', '10.1.13.0/31', '10.1.14.255/32'), []],
    [
      addresses('169.254.3.2/24', '240.0.0.1/32', 'fd00:10::/64', '100.64.0.1/10'),
      addresses('fe80::7/10', 'fe80::8/128'),
    ],
  ] as const) {
    const config: TunnelConfig = { ...gateway, addresses: own, linkLocal }
    t.equal(await end.ask('apply', config, 80), 'applied')
    t.strictSame(await end.ask('addresses'), [...new Set(own.map(({ address }) => address))])
    const shown = space.run('ip', 'address', 'show', 'dev', gateway.interface)
    for (const { address, bits } of [...own, ...linkLocal])
      t.ok(shown.includes(`${address}/${bits} `), `${address}/${bits}`)
  }
  // Nothing of it counts as taken away, the link-local ones included.
  space.run('ip', 'address', 'delete', 'fe80::8/128', 'dev', gateway.interface)
  t.strictSame((await end.message('tunnel device put back')).lost, ['address fe80::8/128'])
  t.equal(end.events.filter(({ message }) => message === 'tunnel device put back').length, 1)
})
