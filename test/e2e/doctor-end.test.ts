import { rm, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Finding } from '../../src/doctor/finding.ts'
import { command, endFolder, keyPairs, startEnd } from '../lab/end.ts'
import { ready, retry, startNginx, startOurs, topology, wgConf } from './topology.ts'

/** What can be wrong with ends that run: each fault is made, and `doctor` names its cause and what to change. */

type End = 'gateway' | 'cluster'

const world = await topology()
t.teardown(() => world.lab.close())

const forwards = {
  gateway: `forwards:
  http: { listen: ":80", target: "10.1.10.2:80" }
  lost: { listen: ":81", target: "10.1.10.2:81" }
  bare: { listen: ":82", target: "10.1.10.2:82" }
  dns: { protocol: udp, listen: ":53", target: "10.1.10.2:53" }
`,
  cluster: `forwards:
  http: { listen: "tunnel:80", target: "127.0.0.1:8080" }
  bare: { listen: "tunnel:82", target: "127.0.0.1:8081" }
  silent: { listen: "tunnel:83", target: "127.0.0.1:8080", sendProxy: false }
  down: { listen: "tunnel:84", target: "127.0.0.1:9" }
  nowhere: { listen: "tunnel:85", target: "service.invalid:80" }
  long: { listen: "tunnel:86", target: "127.0.0.1:8080", proxyHeaderLimit: 1536 }
  dns: { protocol: udp, listen: "tunnel:53", target: "127.0.0.1:5353" }
`,
}

async function doctor(end: End, ...args: string[]): Promise<{ code: number | null; findings: Finding[] }> {
  const config = join(world.lab.folder, end, 'config.yaml')
  const { code, output } = await command(world[end], 'doctor', '--json', '--config', config, ...args)
  return { code, findings: JSON.parse(output) }
}

/** A step, what is found at it, and what to do about it unless it is fine. */
type Expected = readonly [step: string, found: RegExp, fix?: RegExp]

async function finds(t: Test, end: End, ...expected: readonly Expected[]): Promise<void> {
  const { code, findings } = await doctor(end)
  for (const [step, found, fix] of expected) {
    const here = findings.filter(finding => finding.step === step && found.test(finding.found))
    t.equal(here.length, 1, JSON.stringify(findings, null, 2))
    if (fix === undefined) t.equal(here[0]?.state, 'ok')
    else t.match(here[0]?.fix, fix)
  }
  t.equal(code, findings.some(({ state }) => state === 'failed') ? 1 : 0)
}

await startNginx(world)
await world.cluster.run(async (_, { state }) => {
  const { createServer } = await import('node:http')
  const server = createServer((_, response) => response.end())
  await new Promise<void>(resolve => server.listen(8081, '127.0.0.1', () => resolve()))
  state.set('bare', server)
}, undefined)
let gateway = await startOurs(world, 'gateway', forwards.gateway)
let cluster = await startOurs(world, 'cluster', forwards.cluster)
await ready(gateway, cluster)
const peer = {
  gateway: `peer ${world.keys.gateway.publicKey.slice(0, 8)}`,
  cluster: `peer ${world.keys.cluster.publicKey.slice(0, 8)}`,
}

t.test('what is fine', async t => {
  await Promise.all([
    finds(
      t,
      'gateway',
      [peer.cluster, /^data passes/],
      [
        'target of http',
        /another end of ours answers .*; it says: 127\.0\.0\.1:8080 takes a PROXY header \(v2, up to 107 bytes\)/,
      ],
    ),
    finds(
      t,
      'cluster',
      [peer.gateway, /^data passes/],
      ['target of http', /takes a PROXY header \(v2, up to 107 bytes\)/],
    ),
  ])
  t.notMatch(cluster.output, /connection refused/, 'and nobody is counted as a client for it')
})

t.test('targets: refused, without an address, with a header too many or too few', async t => {
  await Promise.all([
    finds(
      t,
      'gateway',
      ['target of lost', /10\.1\.10\.2:81 .*ECONNREFUSED/, /Start the service/],
      [
        'target of bare',
        /it says: 127\.0\.0\.1:8081 does not expect/,
        /^At the other end: Turn it on at the target/,
      ],
    ),
    finds(
      t,
      'cluster',
      ['target of down', /127\.0\.0\.1:9 .*ECONNREFUSED/, /Start the service/],
      ['target of nowhere', /service\.invalid has no address/, /getent hosts service\.invalid/],
      ['target of bare', /does not expect the PROXY header/, /proxy_protocol.*sendProxy: false/],
      ['target of silent', /closes connections without a PROXY header/, /silent\.sendProxy: v2/],
      [
        'target of long',
        /takes a short PROXY header \(v2\), but not one of 1536 bytes/,
        /forwards\.long\.proxyHeaderLimit/,
      ],
    ),
  ])
})

t.test('clients without the header that is required', async t => {
  await world.gateway.exec(
    'bash',
    '-c',
    'exec 3<>/dev/tcp/10.1.10.2/80; echo GET / >&3; read -t 1 <&3 || true',
  )
  await finds(t, 'cluster', ['clients of http', /without the PROXY header .*header-invalid/, /send-proxy-v2/])
})

t.test('clients that all have one address, that of a proxy in between', async t => {
  await world.gateway.exec('ip', 'route', 'add', 'default', 'via', '203.0.113.7')
  await world.client.run(async (_, { state }) => {
    const { connect } = await import('node:net')
    const sockets = [1, 2, 3].map(() => connect(80, '203.0.113.1').on('error', () => {}))
    await Promise.all(
      sockets.map(socket => new Promise<void>(resolve => socket.once('connect', () => resolve()))),
    )
    state.set('sockets', sockets)
  }, undefined)
  await finds(t, 'gateway', [
    'clients of http',
    /all 3 open connections come from 203\.0\.113\.7/,
    /--network host/,
  ])
  await world.client.run((_, { state }) => {
    for (const socket of state.get('sockets') as { destroy(): void }[]) socket.destroy()
  }, undefined)
})

t.test('a clock that went back', async t => {
  const file = join(world.lab.folder, 'gateway', `${world.interfaces.gateway}.endpoints.json`)
  const day = Date.now() / 1000 + 86_400
  await retry(() => utimes(file, day, day))
  await finds(t, 'gateway', ['clock', /was at .* already/, /timedatectl/])
  await rm(file)
})

t.test('--trace: hop by hop, what each end saw', async t => {
  const { findings } = await doctor('gateway', '--trace')
  const hops = findings.filter(({ step }) => step.startsWith('hop'))
  const seen = hops.map(({ state, found }) => [state, found])
  t.match(seen, [
    ['ok', /^seen from 127\.0\.0\.1:\d+, in \d+\.\d ms, id [0-9a-f]{32}$/],
    [
      'ok',
      /^seen from 10\.1\.10\.1:\d+ in .* ms, PROXY v2 tells 127\.0\.0\.1:\d+, id [0-9a-f]{32}, MTU 1420 here, 1420 there$/,
    ],
    [
      'ok',
      /^connected in .* ms, PROXY v2; it says: 127\.0\.0\.1:8080 takes a PROXY header \(v2, up to 107 bytes\)$/,
    ],
  ])
  t.same(
    hops.map(({ step }) => step),
    ['hop 1: client → http', 'hop 2: http → 10.1.10.2:80', 'hop 3: http → 127.0.0.1:8080'],
  )
  // The mark is the gateway's own: a stranger's is not believed, and no target ever sees it.
  t.notMatch(cluster.output, /connection refused.*127\.0\.0\.1/)
  const lost = await doctor('gateway', '--trace', '--forward', 'lost')
  t.match(lost.findings.at(-1), {
    step: 'hop 2: lost → 10.1.10.2:81',
    state: 'failed',
    found: /ECONNREFUSED/,
  })
  const bare = await doctor('gateway', '--trace', '--forward', 'bare')
  t.match(bare.findings.at(-1), {
    step: 'hop 3: bare → 127.0.0.1:8081',
    state: 'failed',
    found: /^connected in .* it says: 127\.0\.0\.1:8081 does not expect the PROXY header/,
    fix: /^At the other end: Turn it on/,
  })
  const { forwards: judged } = JSON.parse(
    await world.cluster.exec('curl', '-s', 'http://127.0.0.1:9586/status.json'),
  )
  t.match(judged[1].targets, [
    { address: '127.0.0.1:8081', state: 'up', judged: { state: 'failed', since: String } },
  ])
  const page = await world.cluster.exec('curl', '-s', 'http://127.0.0.1:9586/')
  t.match(page, /<span class="bad">127\.0\.0\.1:8081 does not expect the PROXY header/)
  const end = await doctor('cluster', '--trace')
  t.match(end.findings.slice(-2), [{ state: 'unknown' }, { state: 'unknown', found: /answers no trace/ }])
  const wrong = await command(
    world.gateway,
    'doctor',
    '--trace',
    '--forward',
    'x',
    '--url',
    'http://127.0.0.1:9586',
  )
  t.match([wrong.code, wrong.output], [2, /no forward is called "x"; there are http, lost/])
})

t.test('--trace of a UDP forward: one marked datagram, which goes no further than the other end', async t => {
  const { findings } = await doctor('gateway', '--trace', '--forward', 'dns')
  t.match(
    findings.filter(({ step }) => step.startsWith('hop')),
    [
      { step: 'hop 1: client → dns', state: 'unknown', found: /:53\/udp: .* not tried$/ },
      {
        step: 'hop 2: dns → 10.1.10.2:53',
        state: 'ok',
        found:
          /^seen from 10\.1\.10\.1:\d+ in .* ms, PROXY v2 \(v2-every\) tells 10\.1\.10\.1:\d+, id [0-9a-f]{32}, MTU 1420 here, 1420 there$/,
      },
      {
        step: 'hop 3: dns → 127.0.0.1:5353',
        state: 'unknown',
        found: /^without a header.*; udp: nobody answers unless asked/,
      },
    ],
  )
  t.match(
    findings.find(({ step }) => step === 'target of dns'),
    { state: 'unknown', found: /leave from 10\.1\.10\.1, to peer .*; udp: nobody answers unless asked/ },
  )
  const status = await world.cluster.exec('curl', '-s', 'http://127.0.0.1:9586/status.json')
  const dns = JSON.parse(status).forwards.find(({ name }: { name: string }) => name === 'dns')
  t.match(dns, { protocol: 'udp', accepted: 0, datagrams: { received: 0, sent: 0, evicted: 0 } })
  t.same(
    Object.entries(dns.datagrams.dropped).filter(([, count]) => count !== 0),
    [],
  )
})

/** The cluster end with another wg0.conf. */
async function restart(change: (conf: string) => string): Promise<void> {
  await cluster.stop()
  const tunnel = `tunnel: { wgConf: wg0.conf, interface: ${world.interfaces.cluster}, stateDir: . }\n`
  const conf = change(wgConf(world, 'cluster'))
  const folder = await endFolder(world.lab, 'cluster', { config: tunnel + forwards.cluster, wgConf: conf })
  cluster = startEnd(world.cluster, folder)
  await cluster.logged(line => line.msg === 'running')
}

t.test('no handshake: nothing listens there', async t => {
  await restart(conf => conf.replace(':51820', ':51999'))
  await finds(t, 'cluster', [
    peer.gateway,
    /nothing listens on UDP 198\.51\.100\.1:51999/,
    /ListenPort there/,
  ])
})

t.test('no handshake: a key that does not fit', async t => {
  const other = keyPairs().cluster
  await restart(conf => conf.replace(world.keys.cluster.privateKey, other.privateKey))
  await finds(t, 'cluster', [
    peer.gateway,
    /198\.51\.100\.1:51820 is called, and does not answer/,
    new RegExp(`PublicKey = ${other.publicKey.replaceAll('+', '\\+')}`),
  ])
})

t.test('no handshake: the name of the endpoint has no address', async t => {
  await restart(conf => conf.replace('198.51.100.1:', 'gateway.invalid:'))
  await finds(t, 'cluster', [
    peer.gateway,
    /gateway\.invalid .*has no address/,
    /getent hosts gateway\.invalid/,
  ])
})

t.test('no handshake: the other end has never called', async t => {
  await cluster.stop()
  await gateway.stop()
  await rm(join(world.lab.folder, 'gateway', `${world.interfaces.gateway}.endpoints.json`), { force: true })
  gateway = await startOurs(world, 'gateway', forwards.gateway)
  await finds(t, 'gateway', [
    peer.cluster,
    /never called/,
    /Endpoint to this host's public address and port 51820/,
  ])
})
