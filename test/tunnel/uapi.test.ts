import t, { type Test } from 'tap'
import type { TunnelConfig } from '../../src/config/config.ts'
import { Uapi, UapiError } from '../../src/tunnel/uapi.ts'
import { changeLines, configurationLines, parseDevice, toHex } from '../../src/tunnel/uapi-codec.ts'
import { FakeUapi, socketPath } from './fake.ts'
import { keys, peer, presharedKey, tunnelConfig } from './lab.ts'

const [ours, theirs, other] = [keys(), keys(), keys()]
const psk = presharedKey()

const answer = `private_key=${toHex(ours.privateKey)}
listen_port=51820
fwmark=7
public_key=${toHex(theirs.publicKey)}
preshared_key=${toHex(psk)}
protocol_version=1
endpoint=[2001:db8::2]:4000
last_handshake_time_sec=1700000000
last_handshake_time_nsec=123456789
tx_bytes=148
rx_bytes=92
persistent_keepalive_interval=25
allowed_ip=10.1.10.2/32
allowed_ip=fd00::2/128
public_key=${toHex(other.publicKey)}
preshared_key=${'0'.repeat(64)}
protocol_version=1
last_handshake_time_sec=0
last_handshake_time_nsec=0
tx_bytes=0
rx_bytes=0
persistent_keepalive_interval=0
`

const device = {
  listenPort: 51820,
  fwMark: 7,
  peers: [
    {
      publicKey: theirs.publicKey,
      endpoint: '[2001:db8::2]:4000',
      lastHandshake: 1700000000123,
      receivedBytes: 92,
      sentBytes: 148,
      keepalive: 25,
      allowedIps: ['10.1.10.2/32', 'fd00::2/128'],
    },
    {
      publicKey: other.publicKey,
      endpoint: undefined,
      lastHandshake: undefined,
      receivedBytes: 0,
      sentBytes: 0,
      keepalive: 0,
      allowedIps: [],
    },
  ],
}

async function serve(t: Test) {
  const server = new FakeUapi()
  const path = socketPath()
  await server.listen(path)
  const uapi = new Uapi(path, { timeout: 1000 })
  t.teardown(async () => {
    uapi.close()
    await server.close()
  })
  return { server, uapi, path }
}

t.test('get leaves the secrets out', async t => {
  const { server, uapi } = await serve(t)
  server.device = answer
  const got = await uapi.get()
  t.strictSame(got, device)
  const text = JSON.stringify(got)
  for (const secret of [ours.privateKey, psk, toHex(ours.privateKey), toHex(psk)])
    t.notOk(text.includes(secret))
  t.equal(await uapi.holds(ours.privateKey), true)
  t.equal(await uapi.holds(theirs.privateKey), false)
  t.equal(server.connections, 1, 'one connection for all')
})

t.test('an answer may be split anywhere', async t => {
  const { server, uapi } = await serve(t)
  server.device = answer
  for (const chunk of [1, 2, 3, 7, 64, answer.length - 1, answer.length, answer.length + 8]) {
    server.chunk = chunk
    t.strictSame(await uapi.get(), device, `${chunk} bytes at a time`)
  }
})

t.test('operations do not overlap', async t => {
  const { server, uapi } = await serve(t)
  server.chunk = 1
  await Promise.all([uapi.set(['listen_port=1']), uapi.get(), uapi.set(['fwmark=0', 'listen_port=2'])])
  t.strictSame(server.operations, ['listen_port=1', 'get=1', 'fwmark=0\nlisten_port=2'])
  t.equal(server.connections, 1)
})

t.test('after a refusal there is a new connection', async t => {
  const { server, uapi } = await serve(t)
  server.refuse = { matching: /listen_port/, errno: -98 }
  await t.rejects(uapi.set(['listen_port=1']), { code: 'UAPI', errno: 98, name: 'UapiError' })
  t.ok((await uapi.set(['listen_port=1']).catch((error: unknown) => error)) instanceof UapiError)
  await uapi.set(['fwmark=0'])
  t.equal(server.connections, 3)
})

t.test('silence, nonsense, a lost connection and nobody there are errors, and pass', async t => {
  const { server, uapi, path } = await serve(t)
  server.mute = true
  await t.rejects(uapi.get(), { code: 'UAPI', message: /no answer within 1000 ms/ })
  const lost = t.rejects(uapi.get(), { code: 'UAPI', message: /connection closed/ })
  const timer = setInterval(() => server.drop(), 10)
  await lost
  clearInterval(timer)
  server.mute = false
  for (const raw of ['hello\n\n', '\n\n', 'errno=\n\n', 'errno=x\n\n', 'xerrno=0\n\n']) {
    server.raw = raw
    await t.rejects(uapi.get(), { code: 'UAPI', message: /without an errno/ }, JSON.stringify(raw))
  }
  server.raw = undefined
  t.match(await uapi.get(), { listenPort: 51820 })
  await t.rejects(new Uapi(`${path}.not`).get(), { code: 'UAPI', message: /ENOENT/ })
  uapi.close()
  await t.rejects(uapi.get(), { code: 'UAPI', message: /closed/ })
})

t.test('an endless answer ends', async t => {
  const { server, path } = await serve(t)
  server.raw = 'x'.repeat(17 << 20)
  const slow = new Uapi(path, { timeout: 20_000 })
  t.teardown(() => slow.close())
  await t.rejects(slow.get(), { message: /endless/ })
})

t.test('values without a peer, and unknown keys, are passed over', async t => {
  t.strictSame(parseDevice('endpoint=192.0.2.1:1\nfoo=bar\nnonsense\nerrno=0\n\n'), {
    listenPort: undefined,
    fwMark: 0,
    peers: [],
  })
})

t.test('configuration of a fresh device, and of one that runs', async t => {
  const config = tunnelConfig(ours, ['10.1.10.1/24'], {
    fwMark: 9,
    peers: [
      peer(theirs.publicKey, ['10.1.10.2/24'], {
        presharedKey: psk,
        keepalive: 25,
        endpoint: { host: '192.0.2.1', port: 51820 },
      }),
      peer(other.publicKey, ['fd00::2/128']),
    ],
  })
  const gone = keys().publicKey
  // A peer with an endpoint and no keepalive has it turned on for a moment: that starts a handshake.
  const handshake = ['persistent_keepalive_interval=1', `public_key=${toHex(other.publicKey)}`]
  const peers = (endpoint: string[]) => [
    `public_key=${toHex(theirs.publicKey)}`,
    `preshared_key=${toHex(psk)}`,
    'endpoint=192.0.2.1:51820',
    'replace_allowed_ips=true',
    'allowed_ip=10.1.10.2/24',
    'persistent_keepalive_interval=25',
    `public_key=${toHex(other.publicKey)}`,
    `preshared_key=${'0'.repeat(64)}`,
    ...endpoint,
    'replace_allowed_ips=true',
    'allowed_ip=fd00::2/128',
    ...(endpoint.length > 0 ? handshake : []),
    'persistent_keepalive_interval=0',
  ]
  const endpointOf = ({ endpoint }: { endpoint: unknown }) => (endpoint ? '192.0.2.1:51820' : '192.0.2.9:5')
  t.strictSame(configurationLines({ listenPort: 1, fwMark: 0, peers: [] }, config, endpointOf), [
    `private_key=${toHex(ours.privateKey)}`,
    'fwmark=9',
    ...peers(['endpoint=192.0.2.9:5']),
  ])
  const running = [
    { ...device.peers[1]!, endpoint: '192.0.2.7:7' },
    { ...device.peers[0]!, publicKey: gone },
  ]
  t.strictSame(
    configurationLines({ listenPort: 1, fwMark: 9, peers: running }, config, endpointOf),
    [`private_key=${toHex(ours.privateKey)}`, `public_key=${toHex(gone)}`, 'remove=true', ...peers([])],
    'a peer that roams is left where it is, one without a place in the config goes',
  )
})

t.test('from one config to the next: only what differs is named', async t => {
  const [a, b] = [
    peer(theirs.publicKey, ['10.1.10.2/32'], {
      presharedKey: psk,
      endpoint: { host: 'gw', port: 1 },
      keepalive: 25,
    }),
    peer(other.publicKey, ['10.1.10.3/32']),
  ]
  const from = tunnelConfig(ours, ['10.1.10.1/24'], { fwMark: 7, peers: [a, b] })
  const endpointOf = () => '192.0.2.9:5'
  const name = (key: string) => `public_key=${toHex(key)}`
  const lines = (more: Partial<TunnelConfig>, place: () => string | undefined = endpointOf) =>
    changeLines(from, { ...from, ...more }, place)
  const update = [name(theirs.publicKey), 'update_only=true']
  const made = (key: string, prefix: string, keepalive: number) => [
    name(key),
    `preshared_key=${key === theirs.publicKey ? toHex(psk) : '0'.repeat(64)}`,
    'endpoint=192.0.2.9:5',
    'replace_allowed_ips=true',
    `allowed_ip=${prefix}`,
    ...(keepalive === 0 ? ['persistent_keepalive_interval=1', name(key)] : []),
    `persistent_keepalive_interval=${keepalive}`,
  ]
  t.strictSame(lines({}), [])
  t.strictSame(lines({ peers: [b, a], mtu: 1300, addresses: [] }), [])
  t.strictSame(lines({ fwMark: undefined }), ['fwmark=0'])
  t.strictSame(lines({ peers: [b] }), [name(theirs.publicKey), 'remove=true'])
  t.strictSame(
    changeLines({ ...from, peers: [a] }, from, endpointOf),
    made(other.publicKey, '10.1.10.3/32', 0),
  )
  t.strictSame(lines({ peers: [{ ...a, keepalive: 5 }, b] }), [...update, 'persistent_keepalive_interval=5'])
  t.strictSame(lines({ peers: [{ ...a, presharedKey: undefined }, b] }), [
    ...update,
    `preshared_key=${'0'.repeat(64)}`,
  ])
  t.strictSame(lines({ peers: [{ ...a, allowedIps: [...a.allowedIps, ...b.allowedIps] }, b] }), [
    ...update,
    'replace_allowed_ips=true',
    'allowed_ip=10.1.10.2/32',
    'allowed_ip=10.1.10.3/32',
  ])
  const again = [name(theirs.publicKey), 'remove=true', ...made(theirs.publicKey, '10.1.10.2/32', 25)]
  const elsewhere = { ...a, endpoint: { host: 'gw', port: 2 } }
  t.strictSame(lines({ peers: [elsewhere, b] }), again)
  t.strictSame(
    lines({ peers: [elsewhere, b] }, () => undefined),
    [],
    'left where it is until the name resolves',
  )
  t.strictSame(lines({ peers: [{ ...a, endpoint: undefined }, b] }), [])
  t.strictSame(lines({ privateKey: other.privateKey, peers: [a] }), [
    `private_key=${toHex(other.privateKey)}`,
    name(other.publicKey),
    'remove=true',
    ...again,
  ])
})
