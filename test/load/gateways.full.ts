import t from 'tap'
import { killed, outage, unplugged } from './gateways-outage.ts'

t.setTimeout(600_000)

/** Longer than the 30 s after which a single gateway's end would have its wireguard-go restarted. */
t.test('one of two gateways is killed, for a minute', { timeout: 200_000 }, t => outage(t, 60, killed))

t.test("one of two gateways' cable is pulled, for a minute", { timeout: 200_000 }, t =>
  outage(t, 60, unplugged),
)
