import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import t, { type Test } from 'tap'
import { parseCidr } from '../../src/address.ts'
import type { TunnelConfig } from '../../src/config/config.ts'
import { EndError } from '../../src/errors.ts'
import type { Ip } from '../../src/tunnel/ip.ts'
import type { Probes } from '../../src/tunnel/prober.ts'
import type { Spawn } from '../../src/tunnel/process.ts'
import { Tunnel } from '../../src/tunnel/tunnel.ts'
import { toHex } from '../../src/tunnel/uapi-codec.ts'
import { FakeChild, FakeUapi, KeptLog, socketPath } from './fake.ts'
import { keys, peer, tunnelConfig, uniqueName } from './lab.ts'

const gateway = keys()

/** An ip(8) that notes every command, and answers what it is asked of one device and its routes as if they had worked. */
function fakeIp(name: string, happened: string[]): Ip {
  let mtu: number | undefined
  const addresses: object[] = []
  const routes: object[] = []
  const after = (words: readonly string[], word: string) => words[words.indexOf(word) + 1]
  const change = (command: string) => {
    happened.push(command)
    const words = command.split(' ')
    if (command.startsWith('tuntap add')) mtu = 1500
    if (command.startsWith('link set') && words.includes('mtu')) mtu = Number(after(words, 'mtu'))
    if (command.startsWith('address replace')) {
      const [local, bits] = words[2]!.split('/')
      addresses.push({ local, prefixlen: Number(bits), scope: '0' })
    }
    if (command.startsWith('route replace')) {
      const isBackstop = words[2] === 'unreachable'
      routes.push({
        type: isBackstop ? '7' : '1',
        dst: words[isBackstop ? 3 : 2],
        dev: isBackstop ? undefined : name,
        table: after(words, 'table'),
        protocol: '87',
        ...(words.includes('src') && { prefsrc: after(words, 'src') }),
        ...(words.includes('metric') && { metric: Number(after(words, 'metric')) }),
        ...(words.includes('congctl') && { metrics: [{ congestion: after(words, 'congctl') }] }),
      })
    }
    return ''
  }
  const device = () => ({
    ifname: name,
    ifindex: 7,
    flags: ['UP'],
    mtu,
    ifalias: 'wg-punchhole',
    linkinfo: { info_kind: 'tun', info_data: { type: 'tun' } },
    addr_info: addresses,
  })
  const answer = (question: string) => {
    if (question === 'route show table all') return routes
    const words = question.split(' ')
    const from = words.includes('from') ? { from: after(words, 'from') } : { prefsrc: '10.1.10.2' }
    if (words[1] === 'get') return [{ type: '1', dst: words[2], dev: name, ...from }]
    return mtu === undefined ? [] : [device()]
  }
  return async (args, input = '') => {
    const commands = input === '' ? [args.join(' ')] : input.trimEnd().split('\n')
    if (args.includes('-force'))
      return commands.map(question => `${JSON.stringify(answer(question))}\n`).join('')
    if (!args.includes('-json')) return commands.map(change).join('')
    happened.push(...commands)
    if (mtu === undefined) throw new EndError('IP_FAILED', `Device "${name}" does not exist.`)
    return JSON.stringify([device()])
  }
}

/** A tunnel whose ip(8) and wireguard-go are fakes, which write into one list what happens. */
function fake(
  t: Test,
  more: Partial<TunnelConfig> = {},
  resolve = async (): Promise<string[]> => ['192.0.2.1'],
) {
  const name = more.interface ?? uniqueName()
  const runFolder = dirname(socketPath())
  const path = `${runFolder}/${name}.sock`
  const happened: string[] = []
  const log = new KeptLog()
  const children: FakeChild[] = []
  const servers: FakeUapi[] = []
  let time = 1_700_000_000_000
  const lab = {
    happened,
    log,
    children,
    servers,
    path,
    /** What the next wireguard-go does: serve, stay silent, or end. */
    next: 'serve' as 'serve' | 'silent' | 'end',
    prepare: (_server: FakeUapi) => {},
    pass: (ms: number) => {
      time += ms
    },
    config: tunnelConfig(keys(), ['10.1.10.2/24'], {
      interface: name,
      peers: [
        peer(gateway.publicKey, ['10.1.10.1/32'], {
          endpoint: { host: 'gateway.example', port: 51820 },
          keepalive: 25,
        }),
      ],
      ...more,
    }),
    tunnel: undefined as unknown as Tunnel,
  }
  const ip = fakeIp(name, happened)
  const spawn = (() => {
    const child = new FakeChild()
    const server = new FakeUapi()
    children.push(child)
    servers.push(server)
    happened.push('spawn')
    lab.prepare(server)
    const served = lab.next === 'serve' ? server.listen(path) : Promise.resolve()
    child.onEnd = () =>
      served.then(() => (lab.next === 'serve' || server.connections > 0 ? server.close() : undefined))
    if (lab.next === 'end') setImmediate(() => void child.end(1))
    return child
  }) as unknown as Spawn
  const make = (probes: Probes = {}) =>
    new Tunnel(lab.config, {
      log,
      binary: { path: '/bin/wireguard-go', version: 'v1' },
      resolve,
      runFolder,
      now: () => time,
      momentOf: time => time,
      spawn,
      ip,
      ...probes,
    })
  lab.tunnel = make()
  t.teardown(() => lab.tunnel.close())
  return Object.assign(lab, { make })
}

const forever = new AbortController().signal

t.test('device, process, MTU, configuration, addresses, routes: in this order', async t => {
  const lab = fake(t, { listenPort: 4000 })
  t.match(lab.tunnel.reasons(), [{ code: 'starting' }])
  t.match(lab.tunnel.status(), {
    process: { state: 'starting', pid: undefined, restarts: 0 },
    listenPort: undefined,
  })
  t.strictSame(lab.tunnel.addresses, [])
  await lab.tunnel.start(forever)
  const name = lab.config.interface
  t.strictSame(lab.happened, [
    `-N -json -details address show dev ${name}`,
    `tuntap add dev ${name} mode tun`,
    `link set dev ${name} alias wg-punchhole`,
    `link set dev ${name} up`,
    'spawn',
    `link set dev ${name} alias wg-punchhole mtu 1420 up`,
    `-N -json -details address show dev ${name}`,
    `address replace 10.1.10.2/24 dev ${name}`,
    lab.happened.find(line => line.startsWith('route replace unreachable')),
    `route replace 10.1.10.1/32 dev ${name} table 254 proto 87 src 10.1.10.2 congctl bbr`,
  ])
  const [listen, configuration] = lab.servers[0]!.operations.filter(operation => operation !== 'get=1')
  t.equal(listen, 'listen_port=4000')
  t.match(
    configuration,
    `private_key=${toHex(lab.config.privateKey)}\npublic_key=${toHex(gateway.publicKey)}`,
  )
  t.match(configuration, /endpoint=192\.0\.2\.1:51820\n/)
  t.strictSame(lab.tunnel.addresses, ['10.1.10.2'])
  t.match(lab.tunnel.status(), {
    addresses: ['10.1.10.2/24'],
    listenPort: 51820,
    congestionControl: 'bbr',
    process: { state: 'running', pid: 4711, restarts: 0, since: 1_700_000_000_000 },
  })
  t.match(lab.tunnel.reasons(), [{ code: 'no-handshake' }])
  t.match(lab.log.of('tunnel up'), [{ fields: { listenPort: 51820, wireguardGo: 'v1', adopted: false } }])
  await Promise.all([lab.tunnel.close(), lab.tunnel.close()])
  t.strictSame(lab.children[0]!.signals, ['SIGTERM'])
  t.notOk(JSON.stringify([lab.log.lines, lab.tunnel.status()]).includes(lab.config.privateKey))
})

t.test('an unchanged listen port is not bound anew', async t => {
  const lab = fake(t, { listenPort: 51820 })
  await lab.tunnel.start(forever)
  t.notOk(lab.servers[0]!.operations.some(operation => operation.startsWith('listen_port')))
})

t.test('a crash loop is a reason, with longer and longer waits, and passes', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  lab.next = 'end'
  await lab.children[0]!.end(0)
  await lab.log.seen('wireguard-go is not running', 4)
  t.match(lab.tunnel.reasons(), [{ code: 'tunnel-process-down', detail: /exited with status 1/ }])
  t.match(lab.tunnel.status(), { process: { state: 'down', pid: undefined }, listenPort: undefined })
  t.strictSame(lab.tunnel.addresses, ['10.1.10.2'], 'the device keeps them')
  lab.next = 'serve'
  await lab.log.seen('tunnel up', 2)
  t.match(lab.tunnel.reasons(), [{ code: 'no-handshake' }])
  t.ok(lab.tunnel.status().process.restarts >= 4)
  t.equal(lab.servers.at(-1)!.operations.filter(operation => operation.includes('private_key')).length, 1)

  // After a minute of health the next restart is at once again.
  lab.pass(60_000)
  await lab.children.at(-1)!.end(0)
  await lab.log.seen('tunnel up', 3)
})

t.test('what fails at the first start is thrown, and nothing stays', async t => {
  const port = fake(t, { listenPort: 4000 })
  port.prepare = server => {
    server.refuse = { matching: /listen_port=4000/, errno: -98 }
  }
  await t.rejects(port.tunnel.start(forever), { code: 'LISTEN_FAILED', message: /UDP port 4000/ })
  t.strictSame(port.children[0]!.signals, ['SIGTERM'])
  t.notOk(existsSync(port.path))

  const refused = fake(t)
  refused.prepare = server => {
    server.refuse = { matching: /private_key/, errno: -22 }
  }
  await t.rejects(refused.tunnel.start(forever), { code: 'UAPI', message: /errno 22/ })
  const odd = fake(t, { listenPort: 4000 })
  odd.prepare = server => {
    server.refuse = { matching: /listen_port/, errno: -5 }
  }
  await t.rejects(odd.tunnel.start(forever), { code: 'UAPI', message: /errno 5/ })

  const ended = fake(t)
  ended.next = 'end'
  await t.rejects(ended.tunnel.start(forever), {
    code: 'TUNNEL_PROCESS',
    message: /exited with status 1/,
    fix: /log/,
  })

  const portless = fake(t)
  portless.prepare = server => {
    server.device = ''
  }
  await t.rejects(portless.tunnel.start(forever), {
    code: 'TUNNEL_PROCESS',
    message: /1500 ms: it opened no UDP port/,
  })

  const name = uniqueName()
  const [first, second] = [fake(t, { interface: name }), fake(t, { interface: name })]
  await first.tunnel.start(forever)
  await t.rejects(second.tunnel.start(forever), { code: 'INTERFACE_TAKEN' })
  t.strictSame(second.happened, [], 'nothing of the first was touched')
})

t.test('who waits for the lock is told first, and ends the start by failing', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever, async () => void lab.happened.push('locked'))
  t.equal(lab.happened[0], 'locked')
  const second = lab.make()
  await t.rejects(
    second.start(forever, async () => void t.fail('locked twice')),
    { code: 'INTERFACE_TAKEN' },
  )
  await lab.tunnel.close()
  lab.happened.length = 0
  const third = lab.make()
  await t.rejects(
    third.start(forever, () => Promise.reject(new EndError('LISTEN_FAILED', 'taken'))),
    { code: 'LISTEN_FAILED' },
  )
  t.notOk(lab.happened.includes('spawn'))
  lab.tunnel = lab.make()
  await lab.tunnel.start(forever)
})

t.test('a start can be broken off, by its signal and by close', async t => {
  const lab = fake(t)
  await t.rejects(lab.tunnel.start(AbortSignal.abort(new Error('enough'))), { message: 'enough' })
  t.strictSame(lab.happened, [])

  const aborted = fake(t)
  aborted.next = 'silent'
  const stop = new AbortController()
  const starting = t.rejects(aborted.tunnel.start(stop.signal), { name: 'AbortError' })
  while (aborted.children.length === 0) await new Promise(setImmediate)
  stop.abort()
  await starting
  t.strictSame(aborted.children[0]!.signals, ['SIGTERM'])

  const closed = fake(t)
  closed.next = 'silent'
  const interrupted = t.rejects(closed.tunnel.start(forever), { name: 'AbortError' })
  while (closed.children.length === 0) await new Promise(setImmediate)
  await closed.tunnel.close()
  await interrupted
  t.strictSame(closed.children[0]!.signals, ['SIGTERM'])
  await fake(t).tunnel.close()
})

t.test('closing ends the wait for the next restart', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  lab.next = 'end'
  await lab.children[0]!.end(0)
  await lab.log.seen('wireguard-go is not running', 4)
  await lab.tunnel.close()
  t.match(lab.tunnel.status().process, { state: 'down' })
})

t.test('one that no longer answers is ended and started again', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  const { operations } = lab.servers[0]!
  lab.servers[0]!.mute = true
  const before = operations.length
  while (operations.length === before) await new Promise(setImmediate)
  lab.pass(10_000)
  t.match(await lab.log.seen('wireguard-go does not answer, ending it'), { fields: { error: /no answer/ } })
  await lab.log.seen('tunnel up', 2)
  t.strictSame(lab.children[0]!.signals, ['SIGTERM'])
})

t.test('a name that resolves late: the peer is made again, or moved when it has a session', async t => {
  for (const [handshake, expected] of [
    [
      '',
      /^public_key=\w+\nremove=true\npublic_key=\w+\npreshared_key=0+\nendpoint=192\.0\.2\.1:51820\n.*keepalive_interval=25$/s,
    ],
    [
      'last_handshake_time_sec=1700000000\n',
      /^public_key=\w+\nupdate_only=true\nendpoint=192\.0\.2\.1:51820$/,
    ],
  ] as const) {
    const answer = Promise.withResolvers<string[]>()
    const lab = fake(t, {}, () => answer.promise)
    lab.prepare = server => {
      server.device = `listen_port=1\npublic_key=${toHex(gateway.publicKey)}\n${handshake}`
    }
    await lab.tunnel.start(forever)
    t.match(lab.tunnel.reasons()[0], { code: 'endpoint-unresolved' })
    const { operations } = lab.servers[0]!
    t.notMatch(
      operations.find(operation => operation.startsWith('private_key')),
      /endpoint/,
    )
    answer.resolve(['192.0.2.1'])
    while (!expected.test(operations.at(-1)!)) await new Promise(setImmediate)
    t.notOk(lab.tunnel.reasons().some(({ code }) => code === 'endpoint-unresolved'))
  }
  const answer = Promise.withResolvers<string[]>()
  const lab = fake(t, {}, () => answer.promise)
  await lab.tunnel.start(forever)
  lab.servers[0]!.refuse = { matching: /remove/, errno: -22 }
  answer.resolve(['192.0.2.1'])
  t.match(await lab.log.seen('endpoint not set'), { level: 'warn', fields: { error: /errno 22/ } })
})

t.test('a close that cannot remove everything says so, and ends', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  lab.children[0]!.kill = () => {
    throw new Error('no')
  }
  await lab.tunnel.close()
  t.match(lab.log.of('tunnel not fully removed'), [{ level: 'warn', fields: { error: 'no' } }])
  await lab.children[0]!.end(0)
})

t.test('a change that wireguard-go refuses is taken back, step by step', async t => {
  const lab = fake(t, { listenPort: 4000 })
  lab.prepare = server => {
    server.device = 'listen_port=4000\n'
  }
  await lab.tunnel.start(forever)
  const server = lab.servers[0]!
  const from = server.operations.length
  server.refuse = { matching: /keepalive_interval=5$/, errno: -22 }
  lab.happened.length = 0
  const { config } = lab
  const to = {
    ...config,
    mtu: 1300,
    addresses: tunnelConfig(keys(), ['10.1.10.2/24', '10.1.11.2/24']).addresses,
    peers: [{ ...config.peers[0]!, keepalive: 5 }],
  }
  await t.rejects(lab.tunnel.apply(to), { code: 'UAPI', message: /errno 22/ })
  t.strictSame(
    server.operations.slice(from).filter(operation => operation !== 'get=1'),
    [5, 25].map(
      seconds =>
        `public_key=${toHex(gateway.publicKey)}\nupdate_only=true\npersistent_keepalive_interval=${seconds}`,
    ),
  )
  t.ok(lab.happened.includes(`address replace 10.1.11.2/24 dev ${config.interface}`))
  t.ok(lab.happened.includes(`link set dev ${config.interface} alias wg-punchhole mtu 1420 up`))
  t.notOk(lab.happened.includes(`link set dev ${config.interface} alias wg-punchhole mtu 1300 up`))
  t.match(lab.tunnel.status(), { mtu: 1420, peers: [{ keepalive: 25 }] })

  // What fails on the way back is told, and hides nothing.
  server.refuse = { matching: /keepalive_interval/, errno: -22 }
  await t.rejects(lab.tunnel.apply(to), { code: 'UAPI', message: /errno 22/ })
  t.match(lab.log.of('tunnel change not taken back'), [{ level: 'warn' }])
})

t.test('a change while wireguard-go is away reaches the next one', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  lab.next = 'end'
  await lab.children[0]!.end(0)
  await lab.log.seen('wireguard-go is not running', 3)
  const to = { ...lab.config, mtu: 1300, listenPort: 4001 }
  await lab.tunnel.apply(to, async addresses => {
    t.strictSame(addresses, ['10.1.10.2'])
  })
  lab.next = 'serve'
  await lab.log.seen('tunnel up', 2)
  t.ok(lab.servers.at(-1)!.operations.includes('listen_port=4001'))
  t.equal(lab.tunnel.status().mtu, 1300)
})

t.test('a wireguard-go that does not answer a change is ended, and the next one gets it', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  lab.servers[0]!.raw = ''
  lab.servers[0]!.drop()
  const changing = lab.tunnel.apply({ ...lab.config, listenPort: 4001 })
  await lab.log.seen('tunnel up', 2)
  await changing
  t.strictSame(lab.children[0]!.signals, ['SIGTERM'])
  t.ok(lab.servers[1]!.operations.includes('listen_port=4001'))
})

t.test('a closed tunnel is not changed', async t => {
  const lab = fake(t)
  await lab.tunnel.start(forever)
  await lab.tunnel.close()
  await t.rejects(lab.tunnel.apply(lab.config), { name: 'AbortError' })
})

t.test(
  'full-size packets that are lost: the MTU steps down, and stays down until the config changes',
  async t => {
    const lab = fake(t)
    lab.prepare = server => {
      server.device = `listen_port=1\npublic_key=${toHex(gateway.publicKey)}\nendpoint=192.0.2.1:1\nlast_handshake_time_sec=1700000000\nrx_bytes=92\n`
    }
    const name = lab.config.interface
    const udp = async (_: unknown, size: number) => (size > 1400 ? undefined : 1)
    lab.tunnel = lab.make({ tcp: async () => 1, udp })
    await lab.tunnel.start(forever)
    await lab.log.seen('MTU stepped down')
    t.ok(lab.happened.includes(`link set dev ${name} alias wg-punchhole mtu 1280 up`))
    t.equal(lab.tunnel.status().mtu, 1280)
    await lab.children[0]!.end(0)
    await lab.log.seen('tunnel up', 2)
    t.equal(
      lab.happened.filter(line => line === `link set dev ${name} alias wg-punchhole mtu 1280 up`).length,
      2,
    )
    await lab.log.seen('path changed', 3)
    t.match(lab.tunnel.reasons(), [
      { code: 'mtu-black-hole', detail: /1280/, peer: gateway.publicKey, serving: true },
    ])
    await lab.tunnel.apply({ ...lab.config, mtu: 1400 })
    t.equal(lab.tunnel.status().mtu, 1400)
    t.strictSame(lab.tunnel.reasons(), [])
  },
)

t.test('a peer is asked where its last connection came from, never at our own address', async t => {
  const lab = fake(t, {
    addresses: [parseCidr('10.1.10.2/24')!, parseCidr('fd00::2/64')!],
    peers: [peer(gateway.publicKey, ['10.1.10.0/24', 'fd00::/64'])],
  })
  lab.prepare = server => {
    server.device = `listen_port=1\npublic_key=${toHex(gateway.publicKey)}\nendpoint=192.0.2.1:51820\n`
  }
  const asked: string[] = []
  lab.tunnel = lab.make({
    tcp: async ({ address }) => {
      asked.push(address)
      return undefined
    },
  })
  await lab.tunnel.start(forever)
  const next = async (...from: string[]) => {
    for (const address of from) lab.tunnel.witness.connectionFrom(address)
    const before = asked.length
    while (asked.length === before) {
      lab.pass(60_000)
      await new Promise(setImmediate)
    }
    return asked.at(-1)
  }
  t.strictSame(asked, ['10.1.10.1'], 'the lowest host')
  t.equal(await next('10.1.10.2', '::ffff:10.1.10.2', 'fd00::2'), '10.1.10.1')
  t.equal(await next('::ffff:10.1.10.77'), '10.1.10.77')
  t.equal(await next('10.1.10.2'), '10.1.10.77')
  t.equal(await next('fd00::77'), 'fd00::77')
})

t.test('draining ends keepalives, probes and recovery', async t => {
  const lab = fake(t)
  let asked = 0
  lab.prepare = server => {
    server.device = `listen_port=1\npublic_key=${toHex(gateway.publicKey)}\nendpoint=192.0.2.1:51820\n`
  }
  lab.tunnel = lab.make({
    tcp: async () => {
      asked++
      return undefined
    },
  })
  await lab.tunnel.start(forever)
  t.equal(asked, 1)
  await lab.tunnel.drain()
  const { operations } = lab.servers[0]!
  t.equal(
    operations.filter(operation => operation !== 'get=1').at(-1),
    `public_key=${toHex(gateway.publicKey)}\nupdate_only=true\npersistent_keepalive_interval=0`,
  )
  const before = operations.length
  lab.pass(60_000)
  while (operations.length < before + 2) await new Promise(setImmediate)
  t.equal(asked, 1)

  const broken = fake(t)
  await broken.tunnel.start(forever)
  broken.servers[0]!.refuse = { matching: /keepalive_interval=0/, errno: -22 }
  await broken.tunnel.drain()
  t.match(broken.log.of('keepalives not stopped'), [{ level: 'warn' }])
})
