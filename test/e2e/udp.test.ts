import { createHash, randomBytes } from 'node:crypto'
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { retry } from '../lab/retry.ts'
import { header, question, sppHeader, tlv } from './dns.ts'
import { address } from './topology.ts'
import { forms, forwardOf, ports, saidOf, udpWorld } from './udp.ts'
import { hex, talk, text } from './udp-client.ts'

/** UDP through both ends: whom a receiver of each form sees, what fits, and who may say who the client is. */
const every = ports['v2-every']
const world = await udpWorld({
  gateway: `  dns: { protocol: udp, listen: ":53", target: "10.1.10.2:53" }
  balanced: { protocol: udp, listen: ":54", target: "10.1.10.2:53", acceptProxy: v2-every, trustedProxies: [203.0.113.7] }
  told: { protocol: udp, listen: ":55", target: "10.1.10.2:${every}", acceptProxy: v2-every, trustedProxies: [203.0.113.7] }
  told-first: { protocol: udp, listen: ":58", target: "10.1.10.2:${every}", acceptProxy: v2-first, trustedProxies: [203.0.113.7] }
  told-alone: { protocol: udp, listen: ":59", target: "10.1.10.2:${every}", acceptProxy: v2-alone, trustedProxies: [203.0.113.7] }
  told-spp: { protocol: udp, listen: ":60", target: "10.1.10.2:${every}", acceptProxy: spp, trustedProxies: [203.0.113.7] }
  foreign: { protocol: udp, listen: ":57", target: "10.1.10.2:5320" }
  short: { protocol: udp, listen: ":56", target: "10.1.10.2:${every}", timeouts: { udp: 1s } }
`,
  cluster: '  dns: { protocol: udp, listen: "tunnel:53", target: "127.0.0.1:53", sendProxy: v2-every }\n',
})
t.teardown(() => world.lab.close())
const { client } = world

/** As a receiver tells what it got. */
const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex').slice(0, 16)

for (const form of forms)
  t.test(`a receiver of ${form} sees the client, and answers it`, async t => {
    for (const family of [4, 6] as const) {
      const payloads = [64, 1200, 64].map(length => randomBytes(length))
      const heard = await talk(client, {
        host: address.gateway[family],
        port: ports[form],
        payloads: payloads.map(payload => payload.toString('hex')),
      })
      const said = heard.replies.map(saidOf)
      const from =
        form === 'bare' ? { client: '127.0.0.1' } : { client: address.client[family], port: heard.port }
      t.match(
        said,
        payloads.map(payload => ({ ...from, bytes: payload.length, digest: digest(payload) })),
        `IPv${family}`,
      )
      t.equal(new Set(said.map(({ sender }) => sender)).size, 1, 'all of a flow come from one port')
    }
    t.notMatch(world.receivers.output, `${form} wrong`)
  })

t.test('what fills the tunnel passes both ways, and a byte more is dropped and counted', async t => {
  const sizes = [1392, 64, 1392, 1393]
  const tried = forms.map(async form => {
    const payloads = sizes.map((length, index) =>
      Buffer.concat([Buffer.from(`echo${index}`), randomBytes(length - 5)]).toString('hex'),
    )
    const tooBig = async () => (await forwardOf(world, 'gateway', form)).datagrams!.dropped['too-big']
    const before = await tooBig()
    const { replies } = await talk(client, {
      host: address.gateway[4],
      port: ports[form],
      payloads,
      replies: sizes.length,
      ms: 300,
    })
    t.same(replies, payloads.slice(0, 3), form)
    t.equal((await tooBig()) - before, 1, `${form}: counted`)
  })
  await Promise.all(tried)
})

t.test('a source port that is used again after its flow has ended', async t => {
  const ask = async (from: string) =>
    saidOf(
      (await talk(client, { host: address.gateway[4], port: 56, from, payloads: [hex('x')] })).replies[0] ??
        '',
    )
  await client.exec('ip', 'address', 'add', '203.0.113.8/24', 'dev', 'to-gateway')
  t.equal((await ask(address.client[4])).client, address.client[4])
  await retry(async () => {
    if ((await forwardOf(world, 'gateway', 'short')).active > 0) throw new Error('the flow has not ended')
  })
  t.equal((await ask('203.0.113.8')).client, '203.0.113.8')
})

t.test('a sender that is trusted tells the client', async t => {
  const ask = async (...payloads: Buffer[]) => {
    const all = payloads.map(payload => payload.toString('hex'))
    const { replies } = await talk(client, {
      host: address.gateway[4],
      port: 55,
      payloads: all,
      replies: payloads.length,
      ms: 300,
    })
    // An end of ours asks another end of ours for a header that way.
    const isAnswer = (reply: string) => reply.startsWith(header(undefined).toString('hex', 0, 12))
    return replies.filter(reply => !isAnswer(reply)).map(saidOf)
  }
  const hello = Buffer.from('hello')
  const told = { client: '203.0.113.7', port: 12_345, bytes: 5, digest: digest(hello) }
  t.match(await ask(Buffer.concat([header(4), hello])), [told])
  const six = { ...told, client: '2001:db8:1::7' }
  t.match(await ask(Buffer.concat([header(6), hello])), [six])
  t.match(
    await ask(Buffer.concat([header(6, { tlvs: tlv(4, Buffer.alloc(20)) }), hello])),
    [six],
    'with TLVs',
  )
  const [local] = await ask(Buffer.concat([header(undefined, { command: 0x20 }), hello]))
  t.match(local, { client: '203.0.113.7', digest: digest(hello) }, 'LOCAL: the sender is the client')
  t.not(local?.port, 12_345)
  const twice = Buffer.concat([header(4), header(6), hello])
  t.match(
    await ask(twice),
    [{ ...told, bytes: twice.length - 28, digest: digest(twice.subarray(28)) }],
    'the second header is payload',
  )
  t.same(await ask(hello), [], 'without a header')
  t.same(await ask(Buffer.concat([header(4, { kind: 0x11 }), hello])), [], 'of TCP')
  const whole = Buffer.concat([header(4), hello])
  t.match(
    await ask(whole.subarray(0, 20), whole.subarray(20), whole),
    [told],
    'in two datagrams; the next one is whole',
  )
  const payloads = [whole.toString('hex')]
  const stranger = await talk(client, {
    host: address.gateway[4],
    port: 55,
    from: '203.0.113.8',
    payloads,
    ms: 300,
  })
  t.same(stranger.replies, [], 'of a stranger')
  await retry(async () => {
    const { dropped } = (await forwardOf(world, 'gateway', 'told')).datagrams!
    // Without a header, and the second half, wait a second for one.
    if (dropped['no-flow'] < 2) throw new Error('still kept')
    t.match(dropped, { 'header-invalid': 2, 'no-flow': 2, 'untrusted-source': 1 })
  })
})

t.test('a sender tells the client in the other forms', async t => {
  const [one, two] = [Buffer.from('one'), Buffer.from('two')]
  for (const family of [4, 6] as const) {
    const ask = async (port: number, ...payloads: Buffer[]) => {
      const all = payloads.map(payload => payload.toString('hex'))
      return (await talk(client, { host: address.gateway[4], port, payloads: all, replies: 2 })).replies
    }
    const told = (payload: Buffer) => ({
      client: address.client[family],
      port: 12_345,
      digest: digest(payload),
    })
    const both = [told(one), told(two)]
    const first = await ask(58, Buffer.concat([header(family), one]), two)
    t.match(first.map(saidOf), both, `v2-first, IPv${family}`)
    const alone = await ask(59, header(family), one, two)
    t.match(alone.map(saidOf), both, `v2-alone, IPv${family}`)
    const spp = sppHeader(family)
    const replies = await ask(60, Buffer.concat([spp, one]), Buffer.concat([spp, two]))
    for (const reply of replies) t.ok(reply.startsWith(spp.toString('hex')), 'a reply has the header, too')
    t.match(
      replies.map(reply => saidOf(reply.slice(2 * spp.length))),
      both,
      `spp, IPv${family}`,
    )
  }
})

t.test('beside a far end of another kind every datagram keeps its header', async t => {
  // On the cluster's tunnel address, where an end of ours would listen.
  const program = join(import.meta.dirname, '../fixtures/udp-receiver.ts')
  const foreign = world.cluster.start(process.execPath, [program, '10.1.10.2', 'v2-every:5320'], {
    env: { NODE_OPTIONS: '', NODE_V8_COVERAGE: '' },
  })
  await foreign.logged(line => line.msg === 'receives')
  // More than it takes to see that nobody answers as an end of ours.
  const payloads = Array.from({ length: 40 }, (_, index) => randomBytes(index % 2 === 0 ? 64 : 1300))
  const { replies } = await talk(client, {
    host: address.gateway[4],
    port: 57,
    payloads: payloads.map(payload => payload.toString('hex')),
    pause: 5,
  })
  t.match(
    replies.map(saidOf),
    payloads.map(payload => ({ client: address.client[4], digest: digest(payload) })),
  )
  t.notMatch(foreign.output, 'wrong')
})

t.test('unbound sees the client, and the one that kdig tells', async t => {
  const file = join(world.lab.folder, 'unbound.conf')
  await writeFile(
    file,
    `server:
  interface: 127.0.0.1@53
  proxy-protocol-port: 53
  access-control: 127.0.0.0/8 allow
  access-control: 203.0.113.0/24 allow
  access-control: 2001:db8::/32 allow
  username: ""
  chroot: ""
  pidfile: ""
  use-syslog: no
  log-queries: yes
  local-zone: "who.example." redirect
  local-data: 'who.example. TXT "here"'
  module-config: "iterator"
remote-control:
  control-enable: no
`,
  )
  // Debian's profile for AppArmor lets the program of this path read its own folders alone.
  const program = join(world.lab.folder, 'unbound')
  await copyFile('/usr/sbin/unbound', program)
  const unbound = world.cluster.start(program, ['-d', '-c', file])
  const saw = (name: string) =>
    retry(
      async () =>
        new RegExp(`info: (\\S+) ${name}\\.who\\.example\\.`).exec(unbound.output)?.[1] ??
        Promise.reject(new Error(unbound.output)),
    )
  await retry(async () => {
    const { replies } = await talk(client, {
      host: address.gateway[4],
      port: 53,
      payloads: [question(1, 'up.who.example', 'TXT').toString('hex')],
      ms: 200,
    })
    if (replies.length === 0) throw new Error(`unbound does not answer\n${unbound.output}`)
  })
  for (const family of [4, 6] as const) {
    const payloads = [question(family, `plain${family}.who.example`, 'TXT').toString('hex')]
    const { replies } = await talk(client, { host: address.gateway[family], port: 53, payloads })
    t.match(replies.map(text), [/here/])
    t.equal(await saw(`plain${family}`), address.client[family])
  }
  const kdig = (name: string, told: string) =>
    client.exec(
      'kdig',
      `@${address.gateway[4]}`,
      '-p',
      '54',
      `+proxy=${told}`,
      '+timeout=2',
      '+retry=1',
      '+short',
      `${name}.who.example`,
      'TXT',
    )
  t.match(await kdig('kdig4', '203.0.113.99#999-203.0.113.1#53'), /here/)
  t.equal(await saw('kdig4'), '203.0.113.99')
  t.match(await kdig('kdig6', '2001:db8::99#999-2001:db8:1::1#53'), /here/)
  t.equal(await saw('kdig6'), '2001:db8::99')
})
