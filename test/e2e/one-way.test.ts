import t from 'tap'
import { command } from '../lab/end.ts'
import { asked, becomes, deafen, doctorOf, has, isProbed, isReady, statusOf } from './one-way.ts'
import { ready, seenAddress, startNginx, startOurs, topology } from './topology.ts'

/**
 * UDP into the gateway is dropped: what it sends arrives at the cluster end, what is sent to it goes unanswered. Both ends
 * say what is so, everywhere, and both are well again once it is over. The other direction, and other far ends, are in
 * one-way.full.ts.
 */
t.setTimeout(240_000)
const world = await topology()
t.teardown(() => world.lab.close())
await startNginx(world)
const gateway = await startOurs(
  world,
  'gateway',
  'forwards:\n  http: { listen: ":80", target: "10.1.10.2:80" }\n  lost: { listen: ":81", target: "10.1.10.2:81" }\n',
)
const cluster = await startOurs(
  world,
  'cluster',
  'forwards:\n  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }\n',
)
await ready(gateway, cluster)
const short = {
  gateway: world.keys.gateway.publicKey.slice(0, 8),
  cluster: world.keys.cluster.publicKey.slice(0, 8),
}

t.test('one direction lost', async t => {
  // Both know that the other answers, and both targets have been tried: one takes connections, one does not.
  await seenAddress(world, 4, 80)
  await world.client.exec('curl', '-s', '--max-time', '10', 'http://203.0.113.1:81').catch(() => {})
  for (const end of ['gateway', 'cluster'] as const) await becomes(world, end, isProbed)
  const { forwards } = await statusOf(world, 'gateway')
  t.match(forwards, [{ targets: [{ state: 'up' }] }, { targets: [{ state: 'down' }] }])
  const mend = await deafen(world, 'gateway')

  t.test('the end whose sending is lost', async t => {
    const { status, took } = await becomes(world, 'cluster', has('one-way'))
    t.ok(took <= 30_000, `${Math.round(took)} ms`)
    t.equal(status.health.status, 'unready')
    t.match(status.health.reasons, [
      {
        code: 'one-way',
        detail: /sends arrives, what is sent to it goes unanswered; its last answer is \d+ s old$/,
      },
    ])
    t.match(status.tunnel!.peers[0]!.path, { state: 'one-way', deaths: 1, rtt: undefined })
    t.match(status.forwards[0]!.targets, [{ behind: undefined }], 'its own target is not behind the tunnel')
    const http = await world.cluster.exec('curl', '-s', '-w', '%{http_code}', 'http://127.0.0.1:9586/readyz')
    t.match(http, /503$/)
    const metrics = await asked(world, 'cluster', '/metrics')
    t.match(metrics, `wg_punchhole_health_reason{reason="one-way",peer="${short.gateway}"} 1`)
    t.match(metrics, `wg_punchhole_peer_path_up{peer="${short.gateway}"} 0`)
    t.notMatch(metrics, 'wg_punchhole_peer_probe_rtt_seconds{')
    const findings = await doctorOf(world, 'cluster')
    t.match(
      findings.filter(({ state }) => state === 'failed'),
      [
        {
          step: `peer ${short.gateway}`,
          found: /goes unanswered/,
          fix: /At the other end, let UDP 51820 in.*PresharedKey/,
        },
      ],
    )
    t.match(
      cluster.log.filter(({ msg, to }) => msg === 'path changed' && to === 'one-way'),
      [{ from: 'up', peer: short.gateway }],
    )
  })

  t.test('the end whose receiving is lost: one fault, and what is behind it', async t => {
    const { status } = await becomes(world, 'gateway', has('path-dead'))
    const key = world.keys.cluster.publicKey
    t.match(
      status.health.reasons.find(({ code }) => code === 'backend-down'),
      { forward: 'lost', behind: key },
    )
    for (const { targets } of status.forwards) t.match(targets, [{ state: 'unknown', behind: key }])
    const metrics = await asked(world, 'gateway', '/metrics')
    t.match(metrics, 'wg_punchhole_forward_targets{forward="http",state="unknown"} 1')
    t.notMatch(metrics, 'wg_punchhole_forward_target_up{')
    const findings = await doctorOf(world, 'gateway', '--trace')
    t.match(
      findings.filter(({ state }) => state === 'failed' || state === 'warning'),
      [
        {
          step: `peer ${short.cluster}`,
          found: /^no answer: .*the keys fitted \d+ s ago; that they do now is not known/,
        },
      ],
      'one red line',
    )
    t.match(
      findings.filter(({ step }) => step.startsWith('target') || step.startsWith('hop 2')),
      ['target of http', 'target of lost', 'hop 2: http → 10.1.10.2:80'].map(step => ({
        step,
        state: 'unknown',
        found: new RegExp(`behind peer ${short.cluster.replaceAll('+', '\\+')}, which is not reached`),
      })),
    )
    t.notMatch(JSON.stringify(findings), /NetworkPolic|the keys fit,/)
    const page = await asked(world, 'gateway', '/')
    t.match(page, /<li class="hop bad">.*?<b>Tunnel<\/b><small>0 of 1 peer up<\/small>/)
    t.match(page, /<li class="hop quiet">.*?<b>Targets<\/b><small>0 of 2 up, 2 unknown<\/small>/)
    t.match(page, /Round trip<\/dt><dd>–</)
    const { output } = await command(world.gateway, 'status', '--url', 'http://127.0.0.1:9586')
    t.match(output, /^http .* unknown .*behind peer \S+, which is not reached$/m)
  })

  t.test('it is over', async t => {
    await mend()
    for (const end of ['gateway', 'cluster'] as const) {
      const { status } = await becomes(world, end, ({ tunnel }) => tunnel!.peers[0]!.path.state === 'up')
      t.equal(status.tunnel!.peers[0]!.path.deaths, 1, `${end}: it was lost once`)
    }
    await becomes(world, 'cluster', isReady)
    await seenAddress(world, 4, 80)
    const { forwards } = await statusOf(world, 'gateway')
    t.match(forwards[0]!.targets, [{ state: 'up', behind: undefined }])
    t.match(
      (await doctorOf(world, 'cluster')).filter(({ step }) => step.startsWith('peer')),
      [{ state: 'ok', found: /^data passes/ }],
    )
  })
})
