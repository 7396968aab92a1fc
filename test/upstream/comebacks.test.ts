import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import t from 'tap'
import { Client } from '../../src/connection/client.ts'
import { Lineage } from '../../src/connection/lineage.ts'
import type { ConnectionOwner } from '../../src/connection/owner.ts'
import { encodeProxyV2, parseProxyHeader, type Tlv } from '../../src/proxy/proxy-header.ts'
import { Comebacks, type Leg, loopOf } from '../../src/upstream/comebacks.ts'
import { Target } from '../../src/upstream/target.ts'
import { eventually } from '../forward/bench.ts'

const here = { address: '10.1.10.2', port: 443 }
const clientAt = (port: number) => ({ address: '203.0.113.7', port })

/** A client whose header was received from a neighbour. */
function received(neighbour: string, port: number, tlvs: readonly Tlv[] = []): Client {
  const client = new Client({ address: neighbour, port: 0 }, here)
  client.learn(parseProxyHeader(encodeProxyV2(clientAt(port), here, tlvs).bytes, 'v2')!)
  return client
}

const id: Tlv = { type: 5, value: Buffer.from('0123456789abcdef') }

function bench() {
  const comebacks = new Comebacks()
  const forward = { config: { acceptProxy: 'any' }, loops: { comebacks } } as unknown as ConnectionOwner
  const again: string[] = []
  const enter = (client: Client, isForsaken = false) =>
    new Lineage({ forward, isForsaken, sentAgain: () => again.push(client.neighbour) }, client)
  return { comebacks, forward, again, enter }
}

t.test('sockets are known by both of their ends, from connect on until they are closed', async t => {
  const { comebacks, forward } = bench()
  const leg: Leg = { forward, cause: undefined }
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  const { port } = server.address() as { port: number }
  const target = new Target('127.0.0.1', { host: '127.0.0.1', first: port, last: port }, { changed() {} })
  const sockets = Array.from({ length: 20 }, () => {
    const socket = connect({ port, host: '127.0.0.1' })
    comebacks.dialled(socket, target, port, leg)
    return socket
  })
  for (let i = 0; i < sockets.length; i++) {
    const [accepted] = await once(server, 'connection')
    const client = Client.of(accepted)
    t.equal(comebacks.at(client), leg, 'when it is accepted')
    t.equal(
      comebacks.at({ ...client, destination: { ...client.destination, port: 1 } }),
      undefined,
      'another socket',
    )
    t.equal(comebacks.at({ ...client, source: { ...client.source, address: '127.0.0.2' } }), undefined)
  }
  for (const socket of sockets) socket.destroy()
  await eventually(() => comebacks.size === 0)
  const failing = connect({ port, host: '255.255.255.255' }).on('error', () => {})
  comebacks.dialled(failing, target, port, leg)
  await new Promise(resolve => failing.on('close', resolve))
  t.equal(comebacks.size, 0)
})

t.test('ids are known as long as their connections last', async t => {
  const { comebacks, enter } = bench()
  const all = Array.from({ length: 100 }, (_, i) => {
    const tlvs = i % 2 === 0 ? [] : [{ ...id, value: Buffer.from(`id ${i}`) }]
    const client = received('10.0.0.1', i + 1, tlvs)
    const lineage = enter(client)
    t.equal(lineage.known(), undefined)
    client.identify('v2')
    lineage.tell()
    return lineage
  })
  t.equal(comebacks.size, 100, 'an id each, no addresses: those of a header need not be of one connection')
  for (const lineage of all) lineage.end()
  t.equal(comebacks.size, 0)
})

t.test('a neighbour that lost sight of a connection sends its client again', async t => {
  const lost = bench()
  t.equal(lost.enter(received('10.0.0.1', 1, [id]), true).known(), undefined)
  t.equal(lost.enter(received('10.0.0.1', 1, [id])).known(), undefined, 'it is let in')
  t.same(lost.again, ['10.0.0.1'], 'and the first one ends')
  t.equal(
    lost.enter(received('10.0.0.1', 1, [id])).known(),
    undefined,
    'it may tell one id as often as it likes',
  )
  t.same(lost.again, ['10.0.0.1'])
  const { again, enter } = bench()
  enter(received('10.0.0.1', 1, [id]), true).known()
  t.match(enter(received('10.0.0.9', 1, [id])).known(), /^loop: /, 'another neighbour never had it')
  t.same(again, [])
})

t.test('a loop is one of the same forward, however many are in between; what began it is told', async t => {
  const told: string[] = []
  const [a, b, c] = [{}, {}, {}]
  const first: Leg = { forward: a, cause: undefined, cameBack: why => told.push(why) }
  const second: Leg = { forward: b, cause: first }
  const third: Leg = { forward: c, cause: second }
  t.equal(loopOf(third), undefined)
  t.match(loopOf({ forward: a, cause: third }), /^loop: /)
  t.equal(told.length, 1)
  t.match(loopOf({ forward: c, cause: third }), /^loop: /)
})

t.test('neighbours from which something came back are suspected for a while, and never too many', async t => {
  const { comebacks } = bench()
  const now = performance.now.bind(performance)
  t.teardown(() => Object.assign(performance, { now }))
  t.notOk(comebacks.mayComeFrom('10.0.0.1'))
  comebacks.cameFrom('10.0.0.1')
  t.ok(comebacks.mayComeFrom('10.0.0.1'))
  t.notOk(comebacks.mayComeFrom('10.0.0.2'))
  for (let i = 0; i < 1000; i++) comebacks.cameFrom(`192.0.2.${i}`)
  t.notOk(comebacks.mayComeFrom('10.0.0.1'), 'the oldest is forgotten')
  t.ok(comebacks.mayComeFrom('192.0.2.0'))
  Object.assign(performance, { now: () => now() + 10_001 })
  t.notOk(comebacks.mayComeFrom('192.0.2.0'))
})

t.test('first bytes that are no header, or nobody’s, tell nothing', async t => {
  const { comebacks } = bench()
  for (const bytes of [
    '',
    'GET / HTTP/1.1',
    'POST / HTTP/1.1',
    'PROXY TCP4 1 2 3\r\n',
    '\r\n\r\n\0\r\nQUIT\n\x31',
  ])
    t.equal(comebacks.begunBy(Buffer.from(bytes, 'latin1')), undefined, JSON.stringify(bytes))
  for (const bytes of ['\r', 'P', 'PROXY ', '\r\n\r\n\0\r\nQUIT\n\x21\x11'])
    t.equal(comebacks.begunBy(Buffer.from(bytes, 'latin1')), 'part', JSON.stringify(bytes))
  t.equal(comebacks.begunBy(encodeProxyV2(clientAt(1), here, [id]).bytes), undefined)
  t.equal(comebacks.begunBy(encodeProxyV2(undefined, undefined, []).bytes), undefined)
})
