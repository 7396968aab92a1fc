import { mock } from 'node:test'
import t from 'tap'
import { flowLines, tellDropped, tellEnded, tellRefused } from '../../src/datagram/lines.ts'
import { dropReasons } from '../../src/upstream/drop-reason.ts'
import { refusalReasons } from '../../src/upstream/refusal-reason.ts'
import { recordingLog } from '../fixtures/log.ts'

const zeros = <R extends string>(reasons: readonly R[]) =>
  Object.fromEntries(reasons.map(reason => [reason, 0])) as Record<R, number>

function forward() {
  const { log, lines } = recordingLog()
  const told = {
    log,
    logConnections: () => true,
    lines: flowLines(log, 'dns'),
    counters: { refused: zeros(refusalReasons), dropped: zeros(dropReasons) },
  }
  return { told, lines }
}

const flow = (sent: number) => ({
  forward: 'dns',
  client: '192.0.2.1:5353',
  serverName: undefined,
  target: '10.1.10.2:53',
  since: performance.now() - 2000,
  receivedBytes: 60,
  sentBytes: 100 * sent,
  datagrams: { received: 2, sent },
  id: undefined,
})

t.test('one line a flow', async t => {
  const { told, lines } = forward()
  tellEnded(told, 'dns', flow(2), 'idle')
  const [[level, fields, message] = []] = lines
  t.same([level, message], ['info', 'flow ended'])
  t.match(fields, {
    forward: 'dns',
    client: '192.0.2.1:5353',
    target: '10.1.10.2:53',
    receivedBytes: 60,
    sentBytes: 200,
    received: 2,
    sent: 2,
    durationMs: Number,
    end: 'idle',
    detail: undefined,
  })
  for (let i = 0; i < 100; i++) tellEnded(told, 'dns', flow(1), 'idle')
  t.equal(lines.length, 101)
  tellEnded({ ...told, logConnections: () => false }, 'dns', flow(1), 'idle')
  t.equal(lines.length, 101, 'none where the config wants none')
})

t.test('flows that nobody answered are no flood of lines', async t => {
  const { told, lines } = forward()
  for (let i = 0; i < 10_000; i++) tellEnded(told, 'dns', flow(0), 'idle')
  tellEnded(told, 'dns', flow(0), 'evicted', 'no room for another one')
  t.equal(lines.length, 21)
  t.match(lines.at(-1), ['info', { end: 'evicted', detail: 'no room for another one' }, 'flow ended'])
  told.lines.unanswered.flush()
  t.match(lines.at(-1), ['warn', { forward: 'dns', more: { idle: 9980 } }, /^flow ended: more/])
})

t.test('what begins no flow, and what is dropped, is counted each time and told now and then', async t => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => mock.timers.reset())
  const { told, lines } = forward()
  for (let i = 0; i < 1000; i++) {
    tellRefused(told, 'denied', '192.0.2.1:5353', 'by deny')
    tellDropped(told, 'too-big', '192.0.2.1:5353', 1500, 'at most 1392 fit')
    tellDropped(told, 'reply-header', '10.1.10.2:53', 9, 'it has no SPP header')
  }
  t.match(told.counters, { refused: { denied: 1000 }, dropped: { 'too-big': 1000, 'reply-header': 1000 } })
  const of = (message: RegExp) => lines.filter(line => message.test(line[2]))
  t.equal(of(/^flow refused$/).length, 20)
  t.match(of(/^flow refused$/)[0]?.[1], { forward: 'dns', client: '192.0.2.1:5353', reason: 'denied' })
  t.match(of(/^datagrams dropped$/), [
    ['warn', { forward: 'dns', reason: 'too-big', sender: '192.0.2.1:5353', bytes: 1500, detail: /1392/ }],
    ['warn', { forward: 'dns', reason: 'reply-header', sender: '10.1.10.2:53', bytes: 9 }],
  ])
  mock.timers.tick(59_999)
  t.same(of(/^datagrams dropped: /), [])
  mock.timers.tick(1)
  t.match(of(/^datagrams dropped: /), [['warn', { more: { 'too-big': 999, 'reply-header': 999 } }]])
})
