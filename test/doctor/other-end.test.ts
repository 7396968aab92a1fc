import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { TraceAnswer } from '../../src/connection/trace.ts'
import { formatFindings } from '../../src/doctor/doctor.ts'
import { sendMarked } from '../../src/doctor/marked.ts'
import { otherEndFinding } from '../../src/doctor/other-end.ts'

const answer: TraceAnswer = {
  version: '0.1.0',
  mtu: 1420,
  forward: 'http',
  from: '10.1.10.1:40000',
  client: '203.0.113.7:50000',
  destination: '10.1.10.2:80',
  id: 'ab'.repeat(16),
  sendProxy: 'v2',
  target: '127.0.0.1:8080',
  targetMs: 0.5,
  targetError: undefined,
}
const finding = (changes: object) => otherEndFinding('hop 3', 'connected', { ...answer, ...changes })

t.test('the other end is believed about its target', async t => {
  for (const state of ['ok', 'warning', 'failed', 'unknown'] as const)
    t.match(finding({ verdict: { state, found: 'what it found', fix: 'do this' } }), {
      step: 'hop 3',
      state,
      found: 'connected; it says: what it found',
      fix: 'At the other end: do this',
    })
  t.equal(finding({ verdict: { state: 'ok', found: 'x' } }).fix, undefined)
})

t.test('a target that it does not reach', async t => {
  t.match(finding({ targetMs: undefined, targetError: 'ECONNREFUSED' }), {
    state: 'failed',
    found: 'the other end answers, and does not reach its target 127.0.0.1:8080: ECONNREFUSED',
  })
})

t.test('an end of another version says less, or what cannot be understood', async t => {
  for (const verdict of [
    undefined,
    {},
    { state: 'green', found: 'x' },
    { state: 'ok', found: 1 },
    { state: 'ok', found: 'x', fix: 1 },
  ])
    t.match(finding({ verdict }), {
      state: 'ok',
      found: /^connected; what the target makes of the header it does not say$/,
    })
})

/** What `sendMarked` makes of a server that answers like this, given 500 ms. */
async function marked(t: { teardown(close: () => void): void }, reply: (socket: Socket) => unknown) {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', () => void reply(socket))
  }).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  await once(socket, 'connect')
  return sendMarked(socket, { address: '203.0.113.7', port: 1 }, 500)
}

t.test(
  'an answer in one piece, in many, and after a first byte that says that there will be one',
  async t => {
    const text = `${JSON.stringify(answer)}\n`
    t.match(await marked(t, socket => socket.end(text)), { target: '127.0.0.1:8080' }, 'of an older version')
    const slow = async (socket: Socket) => {
      socket.write('\n')
      await sleep(800)
      for (const byte of text) socket.write(byte)
      socket.end()
    }
    t.match(await marked(t, slow), { target: '127.0.0.1:8080' })
  },
)

t.test('what is no other end', async t => {
  t.equal(await marked(t, () => {}), undefined, 'it says nothing')
  t.equal(await marked(t, socket => socket.end()), undefined)
  t.equal(await marked(t, socket => socket.resetAndDestroy()), undefined)
  for (const json of ['null', '7', '{"error":"no"}', JSON.stringify({ ...answer, targetMs: '1 ms' })])
    t.equal(await marked(t, socket => socket.end(json)), undefined, json)
  t.equal(await marked(t, socket => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')), undefined)
})

t.test('its words cannot write to the terminal', async t => {
  const evil = 'x\u001b]0;owned\u202e\u0007\r\ny'
  const hop = otherEndFinding(`hop 3: ${evil}`, 'connected', {
    ...answer,
    verdict: { state: 'failed', found: evil, fix: evil },
  })
  for (const color of [true, false])
    t.notMatch(formatFindings([hop], color).replaceAll(/\u001b\[\d+m/g, ''), /[^\P{Cc}\n]|\p{Bidi_C}/u)
})
