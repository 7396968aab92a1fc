import t from 'tap'
import { networkNames } from '../../bench/networks.ts'
import { parseOptions, UsageError } from '../../bench/options.ts'

const labels = (args: string[], env = {}) => {
  const { entries } = parseOptions(args, env)
  return Object.fromEntries(networkNames.map(name => [name, entries[name].map(({ label }) => label)]))
}

const ends = ['haproxy', 'ours', 'ours-plain']

t.test('who is measured', async t => {
  const all = ['tunnel', ...ends]
  t.same(labels([]), { clean: all, lossy: [...ends, 'ours@cubic'], clean1: all, lossy1: ends, udp: [] })
  const env = { FRPS: '/opt/frps', FRPC: '/opt/frpc', RATHOLE: '', CHISEL: '/opt/chisel' }
  t.same(labels([], env).clean, [...all, 'frp', 'chisel'])
  const withTrixie = labels([], { HAPROXY_TRIXIE: '/opt/haproxy' })
  t.same(withTrixie.clean, [...all, 'haproxy-trixie'])
  t.same(withTrixie.clean1, withTrixie.clean)
  t.notOk(labels([], env).lossy!.includes('frp'), 'others are measured without loss only')
  const lossy = ['haproxy', 'ours']
  t.same(labels(['--quick'], env), { clean: ends, lossy, clean1: [], lossy1: [], udp: [] })
})

t.test('where', async t => {
  t.match(labels(['--networks', 'lossy,clean1']), { clean: [], lossy: [...ends, 'ours@cubic'], lossy1: [] })
  t.match(labels(['--quick', '--networks', 'lossy1']), { clean: [], lossy: [], lossy1: ['haproxy', 'ours'] })
  t.same(labels(['--contenders', 'ours,haproxy@bbr', '--networks', 'clean']).clean, ['ours', 'haproxy@bbr'])
  const memory = labels(['--tests', 'startup,idle'])
  t.match(memory, { clean: ['tunnel', ...ends], lossy: [], clean1: [] }, 'memory is the same everywhere')
})

t.test('datagrams have contenders of their own, and are measured only when they are asked for', async t => {
  const names = (args: string[], env = {}) => {
    const { entries, tests } = parseOptions(args, env)
    return { tests, clean: entries.clean.length, udp: entries.udp.map(({ label }) => label) }
  }
  t.notOk(parseOptions([], {}).tests.some(test => test.startsWith('udp')))
  t.same(names(['--tests', 'keep']).udp, [])
  const args = ['--tests', 'udp64,udpflood']
  t.same(names(args), { tests: ['udp64', 'udpflood'], clean: 0, udp: ['socat', 'ours', 'tunnel'] })
  t.same(names(args, { FRPS: '/opt/frps', FRPC: '/opt/frpc' }).udp, ['socat', 'ours', 'tunnel', 'frp'])
  t.same(names([...args, '--quick']).udp, ['socat', 'ours'])
  const mixed = ['--tests', 'udp64,keep', '--contenders', 'haproxy,ours,socat', '--networks', 'clean,udp']
  t.same(names(mixed), { tests: ['keep', 'udp64'], clean: 2, udp: ['ours', 'socat'] })
})

t.test('a newer HAProxy is fetched for a full run alone', async t => {
  const isFull = (...args: string[]) => parseOptions(args, {}).isFull
  t.ok(isFull())
  t.ok(isFull('--networks', 'clean1'))
  t.notOk(isFull('--quick'))
  t.notOk(isFull('--networks', 'lossy'))
  t.notOk(isFull('--tests', 'udp64'))
  t.notOk(isFull('--contenders', 'ours'))
})

t.test('how much', async t => {
  t.match(parseOptions([], {}), {
    rounds: 5,
    seconds: 2,
    idle: 5000,
    attempts: 3,
    out: undefined,
    writeResults: false,
  })
  t.match(parseOptions(['--quick', '--rounds', '2'], {}), { rounds: 2, seconds: 1, idle: 500, attempts: 1 })
  t.same(parseOptions(['--tests', 'mix,startup,bulk1'], {}).tests, ['startup', 'bulk1', 'mix'])
})

t.test('a variant', async t => {
  const variant = '{"env":{"GOMAXPROCS":"1"},"mtu":1380}'
  const { entries } = parseOptions(['--variant', `one=${variant}`, '--contenders', 'ours@one'], {})
  t.same(entries.clean, [{ label: 'ours@one', name: 'ours', variant: JSON.parse(variant) }])
})

t.test('refused', async t => {
  for (const [args, message] of [
    [['--fast'], /--fast/],
    [['--rounds', '0'], /--rounds is "0"; give a whole number/],
    [['--tests', 'keep,old'], /no test "old"; there are startup /],
    [['--networks', 'clean,wet'], /no network "wet"; there are clean lossy clean1 lossy1 udp/],
    [['--networks', 'lossy', '--tests', 'idle'], /no idle on lossy; choose other --networks/],
    [['--contenders', 'nginx'], /no contender "nginx"; there are tunnel /],
    [['--contenders', 'toString'], /no contender "toString"/],
    [['--contenders', 'haproxy-trixie'], /haproxy-trixie needs its programs in HAPROXY_TRIXIE$/],
    [['--contenders', 'socat'], /socat has no part in startup .*ttfb; choose others with --tests$/],
    [['--contenders', 'haproxy', '--tests', 'udp64'], /haproxy has no part in udp64/],
    [['--contenders', 'frp'], /frp needs its programs in FRPS and FRPC/],
    [['--contenders', 'ours@fast'], /no variant "fast"/],
    [['--variant', 'fast'], /give NAME=JSON/],
    [['--variant', 'fast={'], /--variant fast: .*JSON/],
    [['--variant', 'fast={"mtu":"big","speed":1}'], /--variant fast: .*mtu/],
  ] as const)
    t.throws(() => parseOptions(args, {}), { constructor: UsageError, message }, args.join(' '))
})
