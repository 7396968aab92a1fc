import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { CheckConfig, TcpForwardConfig } from '../../src/config/config.ts'
import { Check } from '../../src/upstream/check.ts'
import type { Knock } from '../../src/upstream/knock.ts'
import { Target } from '../../src/upstream/target.ts'
import { freePort } from '../fixtures/free-port.ts'
import {
  at,
  Backend,
  config,
  dial,
  eventually,
  forwarding,
  links,
  open,
  outcome,
  plan,
  to,
} from '../forward/bench.ts'

/** Targets that are tried without a client, and listeners that close when nobody is left. */

const local = '0d0a0d0a000d0a515549540a20000000'
const often: CheckConfig = { interval: 50, rise: 2, fall: 3 }

/** A service that can be stopped and started, and keeps what each connection sent, in hex. */
class Service {
  readonly port: number
  readonly seen: string[] = []
  #server: Server | undefined
  readonly #host: string

  constructor(port: number, host = '127.0.0.1') {
    this.port = port
    this.#host = host
  }

  async start(): Promise<void> {
    const server = createServer(async socket => {
      socket.on('error', () => {})
      this.seen.push((await socket.toArray().catch(() => [])).map(chunk => chunk.toString('hex')).join(''))
    })
    this.#server = server
    await once(server.listen(this.port, this.#host), 'listening')
  }

  async stop(): Promise<void> {
    this.#server?.close()
    this.#server = undefined
  }
}

async function service(t: Test, host?: string): Promise<Service> {
  const service = new Service(await freePort(), host)
  t.teardown(() => service.stop())
  return service
}

const refused = async (port: number, host?: string) => (await outcome(dial(port, host))).end

async function world(
  t: Test,
  target: Service,
  changes: Partial<TcpForwardConfig> & { check?: CheckConfig | 'passive' },
) {
  const { check = 'passive', ...rest } = changes
  const upstream = { ...to(at('127.0.0.1', target.port)), check }
  return forwarding(t, [config(target.port, { upstream, ...rest })])
}

for (const [sendProxy, bytes] of [
  ['v2', /^0d0a0d0a000d0a515549540a20000000$/],
  // PROXY UNKNOWN and a line end.
  ['v1', /^50524f585920554e4b4e4f574e0d0a$/],
  [false, /^$/],
] as const)
  t.test(`sendProxy ${sendProxy}: what a check sends, and then it closes`, async t => {
    const target = await service(t)
    await target.start()
    const { status } = await world(t, target, { sendProxy, check: often })
    await eventually(() => status().targets[0]?.state === 'up' && target.seen.length > 2)
    for (const seen of target.seen) t.match(seen, bytes)
    t.match(status(), { accepted: 0, checks: 0, active: 0, targets: [{ active: 0 }] })
  })

t.test('fall failures in a row before it is down, rise answers before it is up', async t => {
  const target = await service(t)
  await target.start()
  const { status, logged, forwarder } = await world(t, target, { check: { interval: 150, rise: 3, fall: 3 } })
  const state = () => status().targets[0]?.state
  await eventually(() => state() === 'up')
  await target.stop()
  const stopped = performance.now()
  await eventually(() => state() === 'down')
  t.ok(performance.now() - stopped > 250, 'not by the first failure')
  t.match(forwarder.reasons(), [{ code: 'backend-down', forward: 'web' }])
  target.seen.length = 0
  await target.start()
  await eventually(() => state() === 'up')
  t.ok(target.seen.length >= 2, 'not by the first answer')
  t.same(forwarder.reasons(), [])
  t.equal(logged('target down').length, 1)
  t.equal(logged('target up').length, 1)
})

t.test('passive: left alone while it answers, and tried by itself while it does not', async t => {
  const target = await service(t)
  const { port, status, logged } = await world(t, target, { sendProxy: 'v2' })
  t.equal(await refused(port), 'ECONNRESET')
  t.equal(status().targets[0]?.state, 'down')
  t.same(logged('target down'), [], 'a client alone is not believed')
  await target.start()
  await eventually(() => status().targets[0]?.state === 'up' && target.seen.length > 0)
  t.same(target.seen, [local])
  t.same(logged('listener closed: no target is up'), [])
  await new Promise(resolve => setTimeout(resolve, 1500))
  t.same(target.seen, [local], 'no more')
})

t.test('with no target left the listener is closed, and opened again', async t => {
  const target = await service(t)
  const { port, status, logged, forwarder } = await world(t, target, {})
  t.equal(await refused(port), 'ECONNRESET')
  t.equal(await refused(port), 'ECONNRESET', 'not at once: the first may have been an accident')
  await eventually(() => logged('target down').length === 1)
  t.equal(await refused(port), 'ECONNREFUSED')
  t.equal(status().targets[0]?.error, 'ECONNREFUSED')
  t.match(logged('listener closed: no target is up'), [{ address: `127.0.0.1:${port}` }])
  t.match(forwarder.reasons(), [{ code: 'backend-down' }])
  await target.start()
  await eventually(() => logged('listener open again').length === 1)
  ;(await open(port)).destroy()
  t.same(forwarder.reasons(), [])
})

t.test('one that is taken meanwhile is opened again when it is free, said once', async t => {
  const target = await service(t)
  const { port, logged, forwarder } = await world(t, target, { check: often })
  await eventually(() => logged('listener closed: no target is up').length === 1)
  const thief = createServer().listen(port, '127.0.0.1')
  await once(thief, 'listening')
  await target.start()
  await eventually(() => logged('listener not opened again').length === 1)
  t.match(forwarder.reasons(), [{ code: 'listen-failed', detail: /the port is in use/ }])
  await new Promise(resolve => setTimeout(resolve, 1500))
  thief.close()
  await eventually(() => logged('listener open again').length === 1)
  t.equal(logged('listener not opened again').length, 1)
  t.same(forwarder.reasons(), [])
  ;(await open(port)).destroy()
})

t.test('open connections outlive their listener', async t => {
  const backend = await Backend.listen(t)
  const upstream = { ...to(at('127.0.0.1', backend.port)), check: often }
  const { port, logged } = await forwarding(t, [config(backend.port, { upstream })])
  const socket = await open(port)
  socket.write('first')
  let target: Socket
  let sent: string
  // Those of checks, without a byte, come in between.
  do {
    target = await backend.socket()
    sent = (await outcome(target, 'first'.length)).received
  } while (sent === '')
  backend.server.close()
  await eventually(() => logged('listener closed: no target is up').length === 1)
  target.end('last')
  t.same(await outcome(socket), { received: 'last', end: 'end' })
  socket.destroy()
})

t.test('check: false: nobody is tried, and no listener closes', async t => {
  const target = await service(t)
  const { port, status, placed, logged } = await forwarding(t, [config(target.port)])
  t.equal(await refused(port), 'ECONNRESET')
  await target.start()
  await new Promise(resolve => setTimeout(resolve, 1500))
  t.same(target.seen, [])
  t.equal(status().targets[0]?.state, 'down')
  t.same(logged('listener closed: no target is up'), [])
  const socket = await open(placed[0]!.listen.first)
  await eventually(() => status().targets[0]?.state === 'up')
  socket.destroy()
})

t.test('checks end with the config that wanted them, and with a drain', async t => {
  const target = await service(t)
  await target.start()
  const { forwarder, placed, status } = await world(t, target, { check: often })
  await eventually(() => target.seen.length > 1)
  const forward = placed[0]!
  const change = await forwarder.prepare(
    plan([{ ...forward, upstream: { ...forward.upstream, check: 'passive' } }]),
  )
  change.commit()
  t.equal(status().targets[0]?.state, 'up', 'what is known stays')
  await new Promise(resolve => setTimeout(resolve, 100))
  target.seen.length = 0
  await new Promise(resolve => setTimeout(resolve, 300))
  t.same(target.seen, [])
  const again = await forwarder.prepare(plan(placed))
  again.commit()
  await eventually(() => target.seen.length > 1)
  await forwarder.drain(AbortSignal.abort())
  await new Promise(resolve => setTimeout(resolve, 100))
  target.seen.length = 0
  await new Promise(resolve => setTimeout(resolve, 300))
  t.same(target.seen, [])
})

t.test('a change that is rolled back has tried nothing', async t => {
  const target = await service(t)
  await target.start()
  const { forwarder, placed } = await world(t, target, {})
  const other = config(target.port, { name: 'other', listen: at('127.0.0.1', await freePort()) })
  const change = await forwarder.prepare(
    plan([...placed, { ...other, upstream: { ...other.upstream, check: often } }]),
  )
  await new Promise(resolve => setTimeout(resolve, 200))
  await change.rollback()
  await new Promise(resolve => setTimeout(resolve, 1200))
  t.same(target.seen, [])
})

t.test('over a link a check is end to end: it tells of the target behind the far end', async t => {
  const target = await service(t)
  const port = await freePort()
  const linkPort = await freePort()
  const far = await forwarding(
    t,
    [
      config(target.port, {
        listen: at('tunnel', port),
        upstream: { ...to(at('127.0.0.1', target.port)), check: 'passive' },
        acceptProxy: 'any',
        sendProxy: 'v2',
      }),
    ],
    { tunnel: ['127.0.0.2'], link: links(linkPort) },
  )
  await target.start()
  const near = await forwarding(
    t,
    [
      config(port, {
        upstream: { ...to(at('127.0.0.2', port)), check: { ...often, interval: 200 } },
        sendProxy: 'v2',
      }),
    ],
    { link: links(linkPort, ['127.0.0.2']) },
  )
  await eventually(() => near.forwarder.links()[0]?.state === 'up')
  await eventually(() => target.seen.length > 3)
  t.ok(target.seen.every(seen => seen === local))
  t.equal(near.status().targets[0]?.state, 'up')
  await eventually(() => far.status().active === 0)
  t.match(far.status(), { accepted: 0 })
  t.ok(far.status().checks > 2)
  // Between two of them; one that is left open would stay.
  await eventually(() => near.forwarder.links()[0]?.streams === 0)

  await target.stop()
  await eventually(() => near.logged('target down').length === 1)
  t.match(near.logged('target down'), [
    { target: `127.0.0.2:${port}`, error: /ECONNREFUSED|by the other end/ },
  ])
  t.equal(await refused(near.port), 'ECONNREFUSED')
  await eventually(() => far.logged('listener closed: no target is up').length === 1)
  t.equal(await refused(port, '127.0.0.2'), 'ECONNREFUSED')
  await target.start()
  await eventually(
    () => far.logged('listener open again').length + near.logged('listener open again').length === 2,
  )
  ;(await open(near.port)).destroy()
})

t.test('without a link a check of v1 is end to end as well, and no limit refuses it', async t => {
  const target = await service(t)
  await target.start()
  const far = await world(t, target, {
    acceptProxy: 'v1',
    limits: { allow: [{ address: '203.0.113.0', bits: 24, family: 4 }] },
  })
  const near = await forwarding(t, [
    config(far.port, {
      upstream: { ...to(at('127.0.0.1', far.port)), check: { interval: 50, rise: 1, fall: 1 } },
      sendProxy: 'v1',
    }),
  ])
  const state = () => near.status().targets[0]?.state
  await eventually(() => state() === 'up' && far.status().checks > 2)
  await target.stop()
  await eventually(() => state() === 'down')
  await target.start()
  await eventually(() => state() === 'up')
  t.match(far.status(), { accepted: 0, refused: { denied: 0 } })
})

t.test('clients without an address are no checks that go round, once they are answered', async t => {
  const backend = await Backend.listen(t)
  backend.server.on('connection', socket => socket.on('data', bytes => socket.write(bytes.subarray(-1))))
  const both = { acceptProxy: 'any', sendProxy: 'v2' } as const
  const far = await forwarding(t, [config(backend.port, both)])
  const near = await forwarding(t, [config(far.port, both)])
  const unspec = Buffer.from(local.replace('20000000', '21000000'), 'hex')
  for (let number = 0; number < 40; number++) {
    const socket = await open(near.port)
    t.teardown(() => socket.destroy())
    socket.write(Buffer.concat([unspec, Buffer.from('x')]))
    const [answer] = await once(socket, 'data')
    t.equal(String(answer), 'x')
  }
  t.match(far.status(), { checks: 40, active: 40, refused: { loop: 0 } })
})

t.test('a try that began before the target came up, and fails, says nothing of it', async t => {
  const target = new Target('127.0.0.1', { host: '127.0.0.1', first: 1, last: 1 }, { changed() {} })
  target.failed('ECONNREFUSED', true)
  const told: ((error: string | undefined) => void)[] = []
  const knock = (_: Target, tell: (error: string | undefined) => void) => {
    told.push(tell)
    return { cancel() {} } as Knock
  }
  const config = { interval: 60_000, rise: 1, fall: 1 }
  const check = new Check(target, config, { knock, isServed: () => false })
  t.teardown(() => check.close())
  check.try()
  target.succeeded()
  told.pop()!('no answer within 5000 ms')
  t.equal(target.state, 'up')
  check.try()
  told.pop()!('ECONNREFUSED')
  t.equal(target.state, 'down')
})

/** When a target that is up is tried, by so many checks of it. */
function duesOf(t: Test, interval: number) {
  const due: { at: number; wait: number }[] = []
  const real = setTimeout
  t.intercept(globalThis, 'setTimeout', {
    value: (work: () => void, wait: number) => {
      due.push({ at: performance.now() + wait, wait })
      return real(work, wait)
    },
  })
  const owner = { knock: () => ({ cancel() {} }), isServed: () => true }
  const config: CheckConfig = { interval, rise: 1, fall: 1 }
  const target = new Target('127.0.0.1', { host: '127.0.0.1', first: 1, last: 1 }, { changed() {} })
  target.succeeded()
  for (let i = 0; i < 20; i++) {
    const check = new Check(target, config, owner)
    check.reschedule()
    check.close()
  }
  t.equal(due.length, 40)
  return due
}

t.test('targets with long pauses are tried at common moments', async t => {
  for (const { at, wait } of duesOf(t, 60_000)) {
    const off = Math.abs(at - 250 * Math.round(at / 250))
    t.ok(off < 50 || wait === 100, `${wait} ms, ${off} ms off`)
  }
})

t.test('short pauses are as long as the config says', async t => {
  // The first wait of each check is any part of one.
  const waits = duesOf(t, 2000).flatMap(({ wait }, i) => (i % 2 === 0 ? [] : [wait]))
  for (const wait of waits) t.ok(wait > 1750 && wait <= 2200, `${wait} ms`)
})
