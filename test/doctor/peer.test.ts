import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import t from 'tap'
import { type EndParts, endStatus } from '../../src/admin/status.ts'
import type { Finding } from '../../src/doctor/finding.ts'
import { tunnelFindings } from '../../src/doctor/peer.ts'
import type { ReasonCode } from '../../src/reason.ts'
import type { PathStatus, PeerStatus } from '../../src/tunnel/status.ts'
import { parts, peer } from '../admin/sample.ts'

/** What is said of the first peer: only what is known of it, and since when. */

// Where it is called; somebody is there who says nothing.
const there = createSocket('udp4')
there.bind(0, '127.0.0.1')
await once(there, 'listening')
t.teardown(() => there.close())
const endpoint = `127.0.0.1:${there.address().port}`

/** On the clock of paths. */
const ago = (seconds: number) => performance.now() - seconds * 1000

async function said(
  path: Partial<PathStatus>,
  code?: ReasonCode,
  changes: Partial<PeerStatus> = {},
): Promise<Finding> {
  const given = parts()
  const [first] = given.tunnel!.peers
  const one = {
    ...first!,
    endpoint,
    lastHandshake: Date.now() - 40_000,
    ...changes,
    path: { ...first!.path, ...path },
  }
  const since = new Date().toISOString()
  const reasons = code === undefined ? [] : [{ code, detail: `the detail of ${code}`, peer, since }]
  const health: EndParts['health'] = { status: code === undefined ? 'ready' : 'unready', reasons }
  const status = endStatus({ ...given, health, tunnel: { ...given.tunnel!, peers: [one] } })
  const findings = await tunnelFindings(status, undefined)
  return findings.find(({ step }) => step.startsWith('peer'))!
}

t.test('data passes, as long as there are answers', async t => {
  const loss = 0
  t.match(await said({ lastAnswer: ago(2), rtt: 40.5, loss }), {
    state: 'ok',
    found: 'data passes, round trip 40.5 ms',
  })
  t.match(await said({ lastAnswer: ago(2), rtt: undefined, loss: 0.3 }), {
    found: 'data passes, 30 % of the latest probes were lost',
  })
  t.match(await said({ lastAnswer: ago(9), rtt: 40.5, loss }), {
    state: 'ok',
    found: /^data passes, its last answer is \d+ s old, round trip 40\.5 ms$/,
  })
  t.match(await said({ lastAnswer: ago(16), rtt: 40.5, loss: 0.5 }), {
    state: 'unknown',
    found: /^its last answer is \d+ s old; whether data passes now is not known yet$/,
  })
  t.match(await said({ lastAnswer: ago(82), answersProbes: false, rtt: undefined, loss: undefined }), {
    state: 'ok',
    found: /^nothing speaks against it: it answers no probes, and its last answer is 8\d s old$/,
  })
  t.match(await said({ lastAnswer: ago(1), answersProbes: false, rtt: undefined, loss: undefined }), {
    found: 'data passes, it answers no probes',
  })
})

t.test('of a lost one nobody says that the keys fit: they may have been changed', async t => {
  for (const code of ['path-dead', 'handshake-stale', 'one-way'] as const) {
    const finding = await said({ state: code === 'one-way' ? code : 'dead' }, code)
    t.equal(finding.state, 'failed')
    t.match(finding.found, `the detail of ${code}`)
    t.match(finding.fix, /PublicKey.*PresharedKey/)
    t.notMatch(finding.found, /the keys fit\b/)
  }
  t.match(await said({ state: 'dead' }, 'path-dead'), {
    found:
      /^no answer: the detail of path-dead \(the keys fitted 4\d s ago; that they do now is not known\)$/,
    fix: /this one \(port 51820\)/,
  })
  t.match(await said({ state: 'one-way' }, 'one-way'), {
    fix: new RegExp(`^At the other end, let UDP ${there.address().port} in`),
  })
})

t.test('a host that refuses is told as such, also of a path that was up before', async t => {
  const closed = createSocket('udp4')
  closed.bind(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address()
  await new Promise<void>(resolve => closed.close(() => resolve()))
  for (const code of ['path-dead', 'no-handshake'] as const)
    t.match(
      await said({ state: 'dead' }, code, { endpoint: `127.0.0.1:${port}`, configuredEndpoint: 'gw:1' }),
      {
        state: 'failed',
        found: `nothing listens on UDP 127.0.0.1:${port}: its host refuses the packets`,
      },
    )
})

t.test('no datagram can be sent to it: without a route, for one', async t => {
  // To a broadcast address the kernel refuses a socket that has not asked for it.
  const finding = await said({ state: 'dead' }, 'path-dead', {
    endpoint: '255.255.255.255:9',
    configuredEndpoint: 'gw:1',
  })
  t.match(finding.found, /^no answer: /)
})

t.test('the last port of a peer that comes by itself says nothing', async t => {
  const finding = await said({ state: 'dead' }, 'path-dead', { endpoint: '127.0.0.1:9' })
  t.match(finding.found, /^no answer: /)
})

t.test('no handshake: whoever was not called has not failed to answer', async t => {
  const never = { lastHandshake: undefined, lastAnswer: undefined }
  t.match(await said({ state: 'starting' }, 'no-handshake', { ...never, sentBytes: 0 }), {
    found: `${endpoint} has not been called yet, and has not called`,
  })
  t.match(await said({ state: 'dead' }, 'no-handshake', { ...never, sentBytes: 148 }), {
    found: /is called, and does not answer/,
    fix: /PresharedKey/,
  })
  t.match(await said({ state: 'starting' }, 'no-handshake', { ...never, endpoint: undefined }), {
    found: /nothing with its key has arrived since this end runs/,
  })
})

t.test('no route leads back', async t => {
  t.match(await said({ lastAnswer: ago(1) }, 'no-route-back'), {
    state: 'failed',
    found: 'the detail of no-route-back',
    fix: new RegExp(`tunnel\\.probe\\.addresses: \\{"${peer}": IP\\}`),
  })
})
