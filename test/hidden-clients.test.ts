import t from 'tap'
import { HiddenClients } from '../src/hidden-clients.ts'
import { recordingLog } from './fixtures/log.ts'

t.test('the gateway as a client is warned of once, mapped or not; others are not', async t => {
  const { log, lines } = recordingLog()
  const clients = new HiddenClients(['172.17.0.1'], log)
  for (const address of ['203.0.113.7', '172.17.0.2', '::1']) clients.seen(address)
  t.same(lines, [])
  for (const address of ['::ffff:172.17.0.1', '172.17.0.1']) clients.seen(address)
  t.equal(lines.length, 1)
  t.match(JSON.stringify(lines), /172\.17\.0\.1.*--network host/)
})

t.test('without a gateway there is nothing to warn of', async t => {
  const { log, lines } = recordingLog()
  new HiddenClients([], log).seen('172.17.0.1')
  t.same(lines, [])
})
