import t from 'tap'
import { encodeProxyV2 } from '../../src/proxy/proxy-header.ts'
import { traceMark } from '../../src/proxy/trace-mark.ts'
import { Descriptors } from '../../src/sockets/descriptors.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, config, eventually, forwarding, open, outcome, to } from './bench.ts'

const client = { address: '203.0.113.7', port: 50_000 }
const gateway = { address: '203.0.113.1', port: 443 }

/** An end whose target's name is not known before `resolved` is called. */
async function traced() {
  const descriptors = new Descriptors(1000)
  const { promise, resolve: resolved } = Promise.withResolvers<readonly string[]>()
  const slow = config(0, { acceptProxy: 'any', upstream: to(at('slow.example', await freePort())) })
  const world = await forwarding(t, [slow], { descriptors, resolve: () => promise })
  const socket = await open(world.port)
  socket.write(encodeProxyV2(client, gateway, [traceMark]).bytes)
  await eventually(() => descriptors.used === 3)
  return { ...world, descriptors, resolved, socket }
}

t.test('a connection that is traced counts until it is answered', async t => {
  const { descriptors, resolved, socket, status, logged } = await traced()
  t.equal(status().active, 1, 'its descriptors, and a target that it may try, are those of the forward')
  resolved(['127.0.0.1'])
  const { received, end } = await outcome(socket)
  t.match(JSON.parse(received), { forward: 'web', client: '203.0.113.7:50000', targetError: /ECONNREFUSED/ })
  t.equal(end, 'end')
  await eventually(() => status().active === 0)
  t.equal(descriptors.used, 1)
  t.same(logged('connection ended'), [])
})

t.test('one that goes before its answer', async t => {
  const { descriptors, resolved, socket, status } = await traced()
  socket.resetAndDestroy()
  await eventually(() => status().active === 0)
  t.equal(descriptors.used, 1)
  resolved(['127.0.0.1'])
  await new Promise(resolve => setTimeout(resolve, 50))
  t.equal(descriptors.used, 1)
})
