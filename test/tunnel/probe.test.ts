import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import { probeTcp, probeUdp } from '../../src/tunnel/probe.ts'
import { addressOf } from '../../src/tunnel/prober.ts'
import { Namespace, peer, tunnelConfig } from './lab.ts'

const aim = (address: string, port: number, timeout = 5000) => ({ from: address, address, port, timeout })

/** A port of this address that nobody listens on. */
async function closedPort(host: string): Promise<number> {
  const server = createServer().listen(0, host)
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

for (const host of ['127.0.0.1', '::1']) {
  t.test(`refused and accepted are answers: ${host}`, async t => {
    const closed = await closedPort(host)
    t.type(await probeTcp(aim(host, closed)), 'number')
    t.type(await probeUdp(aim(host, closed), 1280), 'number')
    t.type(await probeUdp(aim(host, closed), 0), 'number')

    const server = createServer(socket => socket.on('error', () => {})).listen(0, host)
    await once(server, 'listening')
    t.type(await probeTcp(aim(host, (server.address() as { port: number }).port)), 'number')
    server.close()

    const socket = createSocket(host === '::1' ? 'udp6' : 'udp4')
    socket.on('message', (message, from) => {
      t.equal(message.length, 1280 - (host === '::1' ? 48 : 28), 'with its headers as large as was asked for')
      socket.send('anything', from.port, from.address)
    })
    await new Promise<void>(done => socket.bind(0, host, done))
    t.type(await probeUdp(aim(host, socket.address().port), 1280), 'number')
    socket.close()
  })
}

t.test('silence is none, and neither is an address that cannot be had', async t => {
  const silent = createSocket('udp4')
  await new Promise<void>(done => silent.bind(0, '127.0.0.1', done))
  t.equal(await probeUdp(aim('127.0.0.1', silent.address().port, 50), 1280), undefined)
  silent.close()
  for (const from of ['192.0.2.77', '2001:db8::77']) {
    const elsewhere = { from, address: from, port: 9, timeout: 5000 }
    t.equal(await probeTcp(elsewhere), undefined)
    t.equal(await probeUdp(elsewhere, 1280), undefined)
  }
  using space = new Namespace()
  space.run('ip', 'link', 'add', 'void', 'type', 'veth', 'peer', 'name', 'other')
  space.run('ip', 'link', 'set', 'other', 'up')
  space.run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'void')
  space.run('ip', 'link', 'set', 'void', 'up')
  const probe = new URL('../../src/tunnel/probe.ts', import.meta.url)
  const script = `const { probeTcp, probeUdp } = await import('${probe}')
    const aim = { from: '192.0.2.1', address: '192.0.2.2', port: 9, timeout: 50 }
    console.log(await probeTcp(aim), await probeUdp(aim, 1000), await probeUdp(aim, 9000))
    console.log(await probeTcp({ ...aim, address: '198.51.100.1' }), await probeUdp({ ...aim, address: '198.51.100.1' }, 0))
    void probeTcp({ ...aim, timeout: 60_000, isIdle: true })
    setTimeout(() => console.log('something is left'), 5000).unref()`
  t.equal(
    space.run(process.execPath, '--input-type=module', '-e', script),
    'undefined undefined undefined\nundefined undefined\n',
    'and nothing of them is left',
  )
})

t.test('where a peer is', async t => {
  const { addresses: own } = tunnelConfig({ privateKey: '', publicKey: '' }, ['10.1.10.2/24', 'fd00::1/64'])
  const at = (prefixes: string[], address?: string) => addressOf(peer('A', prefixes, { address }), own)
  t.equal(at(['10.1.10.0/24'], '10.1.10.9'), '10.1.10.9', 'as the config says')
  t.equal(at(['10.1.10.2/24']), '10.1.10.1', 'the lowest host')
  t.equal(at(['fd00::/64']), 'fd00::2', 'that is not ours')
  t.equal(at(['10.1.10.2/32', '10.9.0.0/16']), '10.9.0.1')
  t.equal(at(['10.1.10.0/31', '10.1.11.0/31']), '10.1.10.1')
  t.equal(at([]), undefined)
  const wide = peer('A', ['10.1.10.0/24'])
  t.equal(addressOf(wide, own, '10.1.10.77'), '10.1.10.77', 'where a connection came from')
  t.equal(addressOf({ ...wide, address: '10.1.10.9' }, own, '10.1.10.77'), '10.1.10.9')
})
