import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { TcpForwardConfig } from '../../src/config/config.ts'
import { encodeProxyV1, encodeProxyV2, type Tlv } from '../../src/proxy/proxy-header.ts'
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
  to,
} from '../forward/bench.ts'

/** Connections that would go round for ever. Each end of a circle is a forwarder of its own in this process. */

const end = { address: '203.0.113.1', port: 443 }
const id = (text: string): Tlv => ({ type: 5, value: Buffer.from(text.padEnd(16, '.')) })
const client = (port: number) => ({ address: '203.0.113.7', port })
const header = (tlvs: readonly Tlv[] = [], port = 40_000) => encodeProxyV2(client(port), end, tlvs).bytes

/** What stands between, and hides who connects: a NAT, a load balancer, another host. It counts who passes. */
async function middle(
  t: Test,
  port: () => number,
  isSplitting = false,
): Promise<{ port: number; passed: () => number }> {
  let count = 0
  const server = createServer({ allowHalfOpen: true }, near => {
    count++
    const far = connect({ port: port(), host: '127.0.0.1', allowHalfOpen: true, autoSelectFamily: false })
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      if (isSplitting) one.on('data', bytes => split(bytes, other)).on('end', () => other.end())
      else one.pipe(other)
      one.on('error', () => other.resetAndDestroy())
    }
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => server.close())
  return { port: (server.address() as { port: number }).port, passed: () => count }
}

/** In parts, each a packet of its own. */
function split(bytes: Buffer, to: Socket): void {
  to.setNoDelay(true)
  for (let at = 0; at < bytes.length; at += 7) setTimeout(() => to.write(bytes.subarray(at, at + 7)), at)
}

/** How a client's connection ends that sends this. */
async function ask(port: number, first: Buffer | string = 'GET / HTTP/1.0\r\n\r\n'): Promise<string> {
  const socket = dial(port)
  socket.write(first)
  const { end } = await outcome(socket)
  socket.destroy()
  return end
}

const loops = ({ forwarder }: Awaited<ReturnType<typeof forwarding>>) =>
  forwarder.status().reduce((sum, { refused }) => sum + refused.loop, 0)
const taken = ({ forwarder }: Awaited<ReturnType<typeof forwarding>>) =>
  forwarder.status().reduce((sum, { accepted, checks }) => sum + accepted + checks, 0)

for (const sendProxy of [false, 'v1', 'v2'] as const)
  for (const host of ['', '127.0.0.1'])
    t.test(
      `a name that leads to the forward itself: ${host || 'all addresses'}, header ${sendProxy}`,
      async t => {
        const port = await freePort()
        const end = await forwarding(
          t,
          [
            config(port, {
              listen: at(host, port),
              upstream: to(at('web.dmz.svc.cluster.local', port)),
              sendProxy,
            }),
          ],
          { resolve: async () => ['127.0.0.1'] },
        )
        for (let i = 0; i < 3; i++) t.equal(await ask(port), 'ECONNRESET')
        t.match(end.status(), { accepted: 3, active: 0, refused: { loop: 3, 'target-failed': 0 } })
        const error = `loop: web.dmz.svc.cluster.local is 127.0.0.1:${port}, where this forward itself listens`
        t.match(end.status().targets, [{ state: 'down', error: new RegExp(`^${error}`) }])
        t.match(end.logged('connection refused')[0], {
          reason: 'loop',
          detail: /write the name with a dot at its end \(web\.dmz\.svc\.cluster\.local\.\).*ndots/,
        })
      },
    )

t.test('the unspecified address, and one of an interface, lead here as well', async t => {
  const port = await freePort()
  for (const address of ['0.0.0.0', '::', '::1', '127.9.9.9']) {
    const end = await forwarding(t, [config(port, { listen: at('', port), upstream: to(at('web', port)) })], {
      resolve: async () => [address],
    })
    t.equal(await ask(port), 'ECONNRESET', address)
    t.equal(loops(end), 1)
    await end.forwarder.drain(AbortSignal.abort())
  }
})

t.test('what is no loop: another port here, another address, a forward behind a forward', async t => {
  const backend = await Backend.listen(t)
  const inner = await freePort()
  const end = await forwarding(
    t,
    [
      config(inner, { upstream: to(at('inner.example', inner)), sendProxy: 'v2' }),
      config(backend.port, {
        name: 'inner',
        listen: at('127.0.0.1', inner),
        acceptProxy: 'any',
        sendProxy: 'v2',
        upstream: to(at('backend.example', backend.port)),
      }),
    ],
    { resolve: async () => ['127.0.0.1'] },
  )
  const socket = await open(end.port)
  socket.write('hello')
  const target = await backend.socket()
  t.match((await outcome(target, 40)).received, /hello$/)
  socket.destroy()
  t.equal(loops(end), 0)
})

t.test('two forwards of one end in a circle', async t => {
  const [a, b] = [await freePort(), await freePort()]
  const end = await forwarding(
    t,
    [
      config(b, { listen: at('127.0.0.1', a), upstream: to(at('b.example', b)) }),
      config(a, { name: 'b', listen: at('127.0.0.1', b), upstream: to(at('a.example', a)) }),
    ],
    { resolve: async () => ['127.0.0.1'] },
  )
  t.equal(await ask(a), 'ECONNRESET')
  t.ok(taken(end) <= 3, `${taken(end)} connections`)
  t.ok(loops(end) >= 1)
})

/** Through a middle, the header with which the connection comes back is all that tells. */
for (const [acceptProxy, sendProxy, first, isSplitting] of [
  [false, 'v2', 'GET / HTTP/1.0\r\n\r\n'],
  [false, 'v2', 'GET / HTTP/1.0\r\n\r\n', true],
  [false, 'v1', 'GET / HTTP/1.0\r\n\r\n', true],
  ['any', 'v2', header(), true],
  [false, 'v1', 'GET / HTTP/1.0\r\n\r\n'],
  ['any', 'v2', header()],
] as const)
  t.test(
    `round through what hides it: in ${acceptProxy}, out ${sendProxy}, ${first.length} bytes${isSplitting ? ', in parts' : ''}`,
    async t => {
      // Until its header is there in parts it goes on, hop by hop.
      const most = isSplitting ? 1000 : 5
      const port = await freePort()
      const between = await middle(t, () => port, isSplitting)
      const end = await forwarding(t, [
        config(between.port, { listen: at('127.0.0.1', port), acceptProxy, sendProxy }),
      ])
      t.equal(await ask(port, first), 'ECONNRESET')
      await eventually(() => end.status().active === 0)
      t.ok(between.passed() <= most, `${between.passed()} went round`)
      // Of several that are under way in parts each may be recognised.
      t.ok(isSplitting ? loops(end) >= 1 : loops(end) === 1, `${loops(end)} refused`)
      t.match(end.logged('connection refused').slice(0, 1), [
        { reason: 'loop', detail: /this end has sent it out/ },
      ])
      const before = between.passed()
      t.equal(
        await ask(port, first),
        'ECONNRESET',
        'nothing is left of it: the same one is told as the first was',
      )
      await eventually(() => end.status().active === 0)
      t.ok(between.passed() - before <= most)
    },
  )

t.test('a client that sends nothing, and one that speaks slowly, are no loop', async t => {
  const backend = await Backend.listen(t)
  const end = await forwarding(t, [config(backend.port, { sendProxy: 'v2' })])
  for (const first of ['\r', 'P', 'PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n', header([id('theirs')])]) {
    const socket = await open(end.port)
    socket.write(first)
    const target = await backend.socket()
    socket.end(' and more')
    t.match((await outcome(target)).received, / and more$/)
    target.destroy()
  }
  t.equal(loops(end), 0)
})

/** A circle of ends, each sending to the next and the last to the first. */
async function circle(t: Test, forwards: readonly Partial<TcpForwardConfig>[]) {
  const ports = await Promise.all(forwards.map(() => freePort()))
  return Promise.all(
    forwards.map((changes, i) =>
      forwarding(t, [
        config(ports[(i + 1) % ports.length]!, { ...changes, listen: at('127.0.0.1', ports[i]!) }),
      ]),
    ),
  )
}

for (const [what, ends, first] of [
  [
    'no id at first',
    [
      { acceptProxy: 'any', sendProxy: 'v2' },
      { acceptProxy: 'any', sendProxy: 'v2' },
    ],
    header(),
  ],
  [
    'no header in',
    [
      { acceptProxy: false, sendProxy: 'v2' },
      { acceptProxy: 'any', sendProxy: 'v2' },
    ],
    'hello',
  ],
  [
    'no header between',
    [
      { acceptProxy: 'any', sendProxy: false },
      { acceptProxy: false, sendProxy: 'v2' },
    ],
    header(),
  ],
  ['none at all', [{ sendProxy: 'v2' }, { acceptProxy: 'any', sendProxy: false }], 'hello'],
  [
    'three hops',
    [
      { acceptProxy: false, sendProxy: 'v2' },
      { acceptProxy: 'any', sendProxy: 'v2' },
      { acceptProxy: 'any', sendProxy: 'v2' },
    ],
    'hello',
  ],
] as const)
  t.test(`ends in a circle: ${what}`, async t => {
    const all = await circle(t, ends)
    t.equal(await ask(all[0]!.port, first as Buffer | string), 'ECONNRESET')
    await eventually(() => all.every(({ forwarder }) => forwarder.active === 0))
    const count = all.reduce((sum, one) => sum + taken(one), 0)
    t.ok(count <= 3 * ends.length, `${count} connections`)
    t.ok(
      all.some(one => loops(one) > 0),
      'and it has its name',
    )
  })

t.test('checks that go round without a client', async t => {
  const check = { interval: 100, rise: 1, fall: 1 }
  const [here, ports] = [
    { acceptProxy: 'any', sendProxy: 'v2' } as const,
    [await freePort(), await freePort()],
  ]
  const ends = await Promise.all(
    ports.map((port, i) =>
      forwarding(t, [
        config(0, {
          ...here,
          listen: at('127.0.0.1', port),
          upstream: { ...to(at('127.0.0.1', ports[1 - i]!)), check: i === 0 ? check : false },
        }),
      ]),
    ),
  )
  await eventually(() => ends.some(one => loops(one) > 0))
  await eventually(() => ends[0]!.status().targets[0]!.state === 'down')
  const count = () => ends.reduce((sum, one) => sum + taken(one), 0)
  t.ok(count() <= 200, `${count()} checks`)
  t.match(
    ends.flatMap(({ logged }) => logged('connection refused')),
    [{ reason: 'loop', detail: /checks at once/ }],
  )
})

t.test("a forward's own check does not reach it, nor does one that was let out", async t => {
  const port = await freePort()
  let address = '127.0.0.1'
  const backend = await Backend.listen(t, '127.0.0.2')
  const upstream = { ...to(at('web', port)), check: { interval: 50, rise: 1, fall: 1 } }
  const end = await forwarding(
    t,
    [config(port, { listen: at('127.0.0.1', port), upstream, sendProxy: 'v2' })],
    {
      resolve: async () => [address],
    },
  )
  await eventually(() => end.status().targets[0]!.state === 'down')
  t.match(end.status().targets, [{ error: /^loop: web is 127\.0\.0\.1/ }])
  t.match(end.status(), { accepted: 0, checks: 0 })
  address = '127.0.0.2'
  t.teardown(() => backend.server.close())
  await eventually(() => end.status().targets[0]!.address.startsWith('127.0.0.2'))
})

t.test('one header for many connections at the same time is no loop', async t => {
  const backend = await Backend.listen(t)
  const end = await forwarding(t, [config(backend.port, { acceptProxy: 'any', sendProxy: 'v2' })])
  for (const bytes of [
    header(),
    header([id('a')]),
    encodeProxyV1(client(1), { address: '192.0.2.1', port: 80 }),
  ]) {
    const pairs: Socket[] = []
    for (let i = 0; i < 40; i++) {
      const socket = await open(end.port)
      socket.write(bytes)
      const target = await backend.socket()
      await once(target, 'data')
      pairs.push(socket, target)
    }
    t.equal(end.status().active, 40)
    for (const one of pairs) one.destroy()
    await eventually(() => end.status().active === 0)
  }
  t.equal(loops(end), 0)
})

t.test('one header for many connections over a link: each is served to its end', async t => {
  const backend = await Backend.listen(t)
  const [linkPort, port] = [await freePort(), await freePort()]
  const [near, far] = ['127.0.0.2', '127.0.0.3']
  const accepts = { acceptProxy: 'any', sendProxy: 'v2' } as const
  const listening = config(0, {
    ...accepts,
    listen: at('tunnel', port),
    upstream: to(at('127.0.0.1', backend.port)),
  })
  const cluster = await forwarding(t, [listening], { tunnel: [far], link: links(linkPort, [near]) })
  const gateway = await forwarding(t, [config(0, { ...accepts, upstream: to(at(far, port)) })], {
    tunnel: [near],
    link: links(linkPort, [far]),
  })
  await eventually(() => gateway.forwarder.links().some(({ state }) => state === 'up'))
  const pairs: Socket[] = []
  for (let i = 0; i < 20; i++) {
    const socket = await open(gateway.port)
    socket.write(header([id('a')]))
    const target = await backend.socket()
    await once(target, 'data')
    pairs.push(socket, target)
  }
  t.equal(cluster.status().active, 20)
  t.equal(gateway.forwarder.links()[0]!.streams, 20, 'over the link')
  for (const one of pairs) one.destroy()
  await eventually(() => cluster.status().active === 0)
})

t.test('an id that was given comes back with other addresses', async t => {
  const backend = await Backend.listen(t)
  const end = await forwarding(t, [config(backend.port, { acceptProxy: 'any', sendProxy: 'v2' })])
  const socket = await open(end.port)
  socket.write(header())
  const target = await backend.socket()
  const [bytes] = (await once(target, 'data')) as [Buffer]
  const given: Tlv = { type: 5, value: bytes.subarray(bytes.length - 16) }
  t.equal(await ask(end.port, header([given], 50_000)), 'ECONNRESET')
  t.equal(loops(end), 1)
  for (const one of [socket, target]) one.destroy()
})

for (const check of [false, { interval: 100, rise: 1, fall: 1 }] as const)
  t.test(`two ends in a circle over links, ${check ? 'by a check' : 'by a client'}`, async t => {
    const [port, linkPort] = [await freePort(), await freePort()]
    const hosts = ['127.0.0.2', '127.0.0.3']
    const ends = await Promise.all(
      hosts.map((host, i) => {
        const other = hosts[1 - i]!
        const upstream = { ...to(at(other, port)), check: i === 0 ? check : false }
        const forward = config(0, {
          listen: at('tunnel', port),
          acceptProxy: 'any',
          sendProxy: 'v2',
          upstream,
        })
        return forwarding(t, [forward], { tunnel: [host], link: links(linkPort, [other]) })
      }),
    )
    await eventually(() =>
      ends.every(({ forwarder }) => forwarder.links().some(({ state }) => state === 'up')),
    )
    if (!check) {
      const socket = dial(port, hosts[0])
      socket.write(header())
      t.match(await outcome(socket), { end: 'ECONNRESET' })
    }
    await eventually(() => ends.some(one => loops(one) > 0))
    await eventually(() => ends.every(({ forwarder }) => forwarder.active === 0))
    const count = ends.reduce((sum, one) => sum + taken(one), 0)
    t.ok(count <= (check ? 200 : 4), `${count} connections`)
  })
