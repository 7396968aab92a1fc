import t from 'tap'
import type { TunnelConfig } from '../../src/config/config.ts'
import type { Ip } from '../../src/tunnel/ip.ts'
import { lostRoutes, presentRoutes, reconcileRoutes, removeBackstops } from '../../src/tunnel/routes.ts'
import { KeptLog } from './fake.ts'
import { keys, Namespace, peer, tunnelConfig } from './lab.ts'

/** The real ip(8), in a namespace with TUN devices `ta` and `tb`, and `lan` beside them. */
function host() {
  const space = new Namespace()
  for (const name of ['ta', 'tb', 'lan']) {
    space.run('ip', 'tuntap', 'add', 'dev', name, 'mode', 'tun')
    space.run('ip', 'link', 'set', name, 'up')
  }
  space.run('ip', 'address', 'add', '10.1.10.1/32', 'dev', 'ta')
  space.run('ip', 'address', 'add', 'fd00:10::1/128', 'dev', 'ta', 'nodad')
  space.run('ip', 'address', 'add', '10.2.0.1/32', 'dev', 'tb')
  const { execFileSync } = process.getBuiltinModule('node:child_process')
  const ip: Ip = async (args, input = '') => {
    try {
      const command = ['netns', 'exec', space.name, 'ip', ...args]
      return execFileSync('ip', command, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] })
    } catch (error) {
      if (args.includes('-force')) return (error as { stdout: string }).stdout
      throw error
    }
  }
  const log = new KeptLog()
  const made = { ta: new Set<string>(), tb: new Set<string>() }
  const contextOf = ({ interface: name }: TunnelConfig) => ({ ipv6: true, made: made[name as 'ta' | 'tb'] })
  const put = (config: TunnelConfig) => reconcileRoutes(ip, config, log, contextOf(config))
  const lost = async (config: TunnelConfig, congestionControl: string) =>
    lostRoutes(config, await presentRoutes(ip), congestionControl, contextOf(config))
  const routes = () => `${space.run('ip', '-N', 'route')}${space.run('ip', '-6', '-N', 'route')}`
  return { space, ip, log, put, lost, routes, [Symbol.dispose]: () => space[Symbol.dispose]() }
}

const config = (name: string, addresses: string[], prefixes: string[]) =>
  tunnelConfig(keys(), addresses, {
    interface: name,
    peers: [peer(keys().publicKey, prefixes)],
    congestionControl: 'kernel',
  })
const a = config('ta', ['10.1.10.1/32', 'fd00:10::1/128'], ['10.1.10.0/24', 'fd00:10::/64'])
const b = config('tb', ['10.2.0.1/32'], ['10.2.0.2/32'])

t.test('a backstop stands behind each route, and answers at once where that is gone', async t => {
  using lab = host()
  const { space } = lab
  await lab.put(a)
  t.match(lab.routes(), /^10\.1\.10\.0\/24 dev ta proto 87 .*src 10\.1\.10\.1/m)
  t.match(lab.routes(), /^7 10\.1\.10\.0\/24 proto 87 metric 429\d{7} /m)
  t.match(lab.routes(), /^7 fd00:10::\/64 dev lo proto 87 metric 429\d{7} /m)
  space.run('ip', 'route', 'add', 'default', 'dev', 'lan')
  space.run('ip', '-6', 'route', 'add', 'default', 'dev', 'lan')
  space.run('ip', 'link', 'delete', 'ta')
  for (const address of ['10.1.10.2', 'fd00:10::2'])
    t.throws(() => space.run('ip', 'route', 'get', address), /No route to host/)
  t.match(space.run('ip', 'route', 'get', '10.1.11.2'), /dev lan/)
  t.strictSame(await lab.lost(a, 'kernel'), [
    { prefix: '10.1.10.0/24', isBackstop: false },
    { prefix: 'fd00:10::/64', isBackstop: false },
  ])
})

t.test('what is lost: a route, an attribute of it, a backstop', async t => {
  using lab = host()
  const { space, ip } = lab
  const congestionControl = await lab.put({ ...a, congestionControl: 'reno' })
  t.equal(congestionControl, 'reno')
  t.strictSame(await lab.lost(a, 'reno'), [])
  t.strictSame(await lab.lost({ ...a, table: 'off' }, 'reno'), [])
  for (const [isBackstop, line] of [
    [false, 'route delete 10.1.10.0/24 dev ta'],
    [false, 'route replace 10.1.10.0/24 dev ta proto 87 src 10.1.10.1'],
    [false, 'route replace 10.1.10.0/24 dev ta proto 87 congctl reno'],
    [false, 'route replace 10.1.10.0/24 dev ta proto 4 src 10.1.10.1 congctl reno'],
    [true, 'route delete unreachable 10.1.10.0/24'],
  ] as const) {
    space.run('ip', ...line.split(' '))
    t.strictSame(await lab.lost(a, 'reno'), [{ prefix: '10.1.10.0/24', isBackstop }], line)
    await lab.put({ ...a, congestionControl: 'reno' })
    t.strictSame(await lab.lost(a, 'reno'), [])
  }
  await removeBackstops(ip, 'ta')
  t.equal((await lab.lost(a, 'reno')).length, 2)
})

t.test('of several ends on a host each keeps its own, and takes them with it', async t => {
  using lab = host()
  await lab.put(a)
  await lab.put(b)
  t.strictSame([...(await lab.lost(a, 'kernel')), ...(await lab.lost(b, 'kernel'))], [])
  await lab.put({ ...a, peers: [] })
  t.notMatch(lab.routes(), /10\.1\.10\.0|fd00:10::\/64/)
  t.strictSame(await lab.lost(b, 'kernel'), [])
  await removeBackstops(lab.ip, 'tb')
  t.notMatch(lab.routes(), /^7 /m)
})

t.test(
  'a prefix that another interface had first is left to it; one that we had first stays ours',
  async t => {
    using lab = host()
    const { space, log } = lab
    space.run('ip', 'route', 'add', '10.1.10.0/24', 'dev', 'lan', 'metric', '100')
    await lab.put(a)
    t.match(log.of('prefix is routed elsewhere already, left there'), [
      { fields: { prefix: '10.1.10.0/24', interface: 'lan' } },
    ])
    t.match(
      space.run('ip', 'route', 'show', '10.1.10.0/24'),
      /^10\.1\.10\.0\/24 dev lan .*\nunreachable .*\n$/,
    )
    t.strictSame(await lab.lost(a, 'kernel'), [], 'it is not fought for')
    await lab.put(b)
    space.run('ip', 'route', 'add', '10.2.0.2', 'dev', 'lan', 'metric', '100')
    await lab.put(b)
    t.match(space.run('ip', 'route', 'get', '10.2.0.2'), /dev tb/)
    for (const line of ['route delete 10.2.0.2 dev tb', 'route replace 10.2.0.2 dev lan']) {
      space.run('ip', ...line.split(' '))
      t.match(space.run('ip', 'route', 'get', '10.2.0.2'), /dev lan/)
      t.strictSame(await lab.lost(b, 'kernel'), [{ prefix: '10.2.0.2/32', isBackstop: false }], line)
      await lab.put(b)
      t.match(space.run('ip', 'route', 'get', '10.2.0.2'), /dev tb/)
    }
    t.equal(log.lines.length, 1)
  },
)
