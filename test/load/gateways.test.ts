import t from 'tap'
import { killed, outage } from './gateways-outage.ts'

/** Two gateways for one cluster end; gateways.full.ts waits until the last step of recovery would be due. */
t.test('one of two gateways is killed', t => outage(t, 5, killed))
