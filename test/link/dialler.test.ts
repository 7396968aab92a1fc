import { createServer } from 'node:net'
import t from 'tap'
import { Links } from '../../src/link/links.ts'
import { acceptStatic, socketOptions } from '../../src/sockets/reader.ts'
import { freePort } from '../fixtures/free-port.ts'
import { recordingLog } from '../fixtures/log.ts'
import { eventually, listening, trustLoopback, unattended } from './bench.ts'

t.test('an end that refused the link because it was just starting gets it within seconds', async t => {
  const { log, lines } = recordingLog()
  const far = new Links({ ...unattended(), log })
  far.configure(trustLoopback)
  const near = new Links({ ...unattended(), log })
  const gate = createServer(socketOptions, socket => far.accept(socket))
  t.teardown(() => {
    near.drain()
    for (const links of [near, far]) void links.close(AbortSignal.abort())
    gate.close()
  })
  const port = await freePort()
  near.configure({ port, perPeer: 1, ports: new Set(), addresses: new Set(['127.0.0.1']), trusted: [] })
  await eventually(() => lines.length > 0)
  t.match(lines, [['info', { why: 'ECONNREFUSED' }, 'no link; connections cross one by one']])
  await listening(gate, port)
  acceptStatic(gate)
  await eventually(() => near.to('127.0.0.1') !== undefined)
  t.match(lines.slice(1), [['info', {}, 'link up']])
})
