import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Cidr } from '../../src/address.ts'
import type { Limits } from '../../src/config/config.ts'
import { Admission } from '../../src/connection/admission.ts'
import { Backend, config, forwarding } from '../forward/bench.ts'

const v4 = (address: string, bits: number): Cidr => ({ address, bits, family: 4 })
const v6 = (address: string, bits: number): Cidr => ({ address, bits, family: 6 })

function admission(limits: Limits) {
  let now = 0
  const admission = new Admission(() => now)
  admission.configure(limits)
  return {
    admission,
    let: (address: string, who: object = {}) => admission.admit(who, address)?.reason ?? 'in',
    pass: (ms: number) => {
      now += ms
    },
  }
}

t.test('deny comes first; with allow, nobody else', async t => {
  const limits = { allow: [v4('10.0.0.0', 8), v6('2001:db8::', 32)], deny: [v4('10.1.0.0', 16)] }
  const { let: enter } = admission(limits)
  t.same(
    ['10.2.0.1', '10.1.0.1', '192.0.2.1', '2001:db8::1', '2001:db9::1'].map(address => enter(address)),
    ['in', 'denied', 'denied', 'in', 'denied'],
  )
  t.equal(admission({ deny: [v4('10.1.0.0', 16)] }).let('192.0.2.1'), 'in')
})

t.test('how many are open, in all and of one client; who ends makes room', async t => {
  const { admission: gate, let: enter } = admission({ maxConnections: 3, maxConnectionsPerClient: 2 })
  const [a, b, c] = [{}, {}, {}]
  t.same([enter('192.0.2.1', a), enter('192.0.2.1', b), enter('192.0.2.1')], ['in', 'in', 'client-limit'])
  t.same([enter('192.0.2.2', c), enter('192.0.2.3')], ['in', 'connection-limit'])
  gate.release(b)
  gate.release(b)
  t.same([enter('192.0.2.1'), enter('192.0.2.4')], ['in', 'connection-limit'])
  gate.release({})
  t.equal(enter('192.0.2.4'), 'connection-limit', 'who was not in makes no room')
})

t.test('a client with IPv6 is its /64', async t => {
  const { let: enter } = admission({ maxConnectionsPerClient: 1 })
  t.same(
    ['2001:db8:0:1::1', '2001:db8:0:1:ffff::2', '2001:db8:0:2::1'].map(address => enter(address)),
    ['in', 'client-limit', 'in'],
  )
})

t.test("a rate: at once one second's worth, then as time passes, and never more is saved up", async t => {
  const { let: enter, pass, admission: gate } = admission({ newConnectionsPerSecond: 10 })
  const some = (count: number) =>
    Array.from({ length: count }, () => enter('192.0.2.1')).filter(x => x === 'in').length
  t.equal(some(20), 10)
  pass(250)
  t.equal(some(20), 2)
  pass(60_000)
  t.equal(some(20), 10)
  gate.configure({ newConnectionsPerSecond: 10 })
  t.equal(some(1), 0, 'the same rate again gives nothing anew')
  gate.configure({ newConnectionsPerSecond: 2 })
  t.equal(some(5), 2)
  gate.configure({})
  t.equal(some(100), 100)
})

/** A client; resolves to it once it is answered, or to `reset`. */
async function client(t: Test, port: number, from: string): Promise<Socket | 'reset'> {
  const socket = connect({ port, host: '127.0.0.1', localAddress: from, autoSelectFamily: false })
  t.teardown(() => socket.destroy())
  socket.write('x')
  return new Promise(resolve => {
    socket.once('data', () => resolve(socket))
    socket.on('error', () => resolve('reset'))
  })
}

t.test('refused clients are reset and counted, those that are in go on', async t => {
  const backend = await Backend.listen(t)
  backend.server.on('connection', socket => socket.on('data', data => socket.write(data)))
  const limits = { deny: [v4('127.0.0.9', 32)], maxConnectionsPerClient: 1, maxConnections: 2 }
  const { forwarder, placed } = await forwarding(t, [config(backend.port, { limits })])
  const port = placed[0]!.listen.first
  const first = await client(t, port, '127.0.0.2')
  t.not(first, 'reset')
  t.equal(await client(t, port, '127.0.0.9'), 'reset')
  t.equal(await client(t, port, '127.0.0.2'), 'reset')
  t.not(await client(t, port, '127.0.0.3'), 'reset')
  t.equal(await client(t, port, '127.0.0.4'), 'reset')
  t.match(forwarder.status()[0], {
    active: 2,
    accepted: 2,
    refused: { denied: 1, 'client-limit': 1, 'connection-limit': 1 },
  })
  const again = once(first as Socket, 'data')
  ;(first as Socket).write('y')
  t.equal(String((await again)[0]), 'y')
  ;(first as Socket).resetAndDestroy()
  while (forwarder.status()[0]!.active > 1) await new Promise(resolve => setTimeout(resolve, 5))
  t.not(await client(t, port, '127.0.0.2'), 'reset', 'there is room again')
})
