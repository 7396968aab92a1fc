import type { ChildProcess } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Monitor } from '../../src/tunnel/monitor.ts'
import type { Spawn } from '../../src/tunnel/process.ts'
import { KeptLog } from './fake.ts'
import { Namespace } from './lab.ts'

/** A child that stands for `ip monitor`. */
class Child extends EventEmitter {
  readonly stdout = new PassThrough()
  readonly stderr = new PassThrough()
  unref() {}
  ref() {}
  kill() {
    setImmediate(() => this.emit('close'))
  }
}

function monitoring(t: Test, look: () => Promise<void>) {
  const children: Child[] = []
  const log = new KeptLog()
  const spawn = (() => {
    children.push(new Child())
    return children.at(-1) as unknown as ChildProcess
  }) as unknown as Spawn
  const monitor = new Monitor({ look, log, spawn })
  t.teardown(() => monitor.close())
  monitor.start()
  return { monitor, children, log }
}

const eventually = async (isSo: () => boolean) => {
  while (!isSo()) await sleep(5)
}

t.test('each change is looked at, and many at once are one', async t => {
  let looks = 0
  const { children } = monitoring(t, async () => void looks++)
  await eventually(() => looks === 1)
  const began = performance.now()
  for (let i = 0; i < 1000; i++) children[0]!.stdout.write('Deleted 10.1.10.2 dev wg0\n')
  await eventually(() => looks >= 2)
  for (let i = 0; i < 20; i++) {
    children[0]!.stderr.write('netlink receive error No buffer space available (105)\n')
    await sleep(10)
  }
  await eventually(() => looks >= 3)
  t.ok(looks <= 3 + (performance.now() - began) / 50, `${looks} looks`)
})

t.test('its death is borne: told, looked at in its place, and started again', async t => {
  let looks = 0
  const { children, log } = monitoring(t, async () => void looks++)
  await eventually(() => looks === 1)
  children[0]!.emit('exit', null, 'SIGKILL')
  await eventually(() => looks === 2)
  t.match(log.lines, [{ fields: { why: 'ended with SIGKILL', againInMs: 1000 } }])
  await eventually(() => children.length === 2)
  // What comes from the first one does not count any more.
  children[0]!.emit('exit', 0, null)
  children[1]!.emit('error', Object.assign(new Error('spawn ip ENOENT'), { code: 'ENOENT' }))
  t.match(log.lines, [{}, { fields: { why: /ENOENT/, againInMs: 2000 } }])
  t.equal(log.lines.length, 2)
})

t.test('closed, it looks no more', async t => {
  let looks = 0
  const { monitor, children } = monitoring(t, async () => void looks++)
  await eventually(() => looks === 1)
  monitor.lookIn(1)
  await monitor.close()
  children[0]!.stdout.write('x')
  monitor.look()
  monitor.lookIn(1)
  await sleep(100)
  t.equal(looks, 1)
})

t.test('the real one tells of links, addresses, routes and rules, without a right to change any', async t => {
  using space = new Namespace()
  let looks = 0
  const { spawn } = await import('node:child_process')
  const within = ((_: string, args: readonly string[], options: object) =>
    spawn(
      'ip',
      ['netns', 'exec', space.name, 'setpriv', '--bounding-set=-all', '--inh-caps=-all', 'ip', ...args],
      options,
    )) as unknown as Spawn
  const monitor = new Monitor({ look: async () => void looks++, log: new KeptLog(), spawn: within })
  monitor.start()
  // It says when it listens: by the first change that it tells.
  const tell = async (...command: string[]) => {
    await sleep(200)
    const before = looks
    space.run('ip', ...command)
    await eventually(() => looks > before)
    t.pass(command.join(' '))
  }
  while (looks < 2) {
    space.run('ip', 'rule', 'add', 'from', '192.0.2.9', 'lookup', '7')
    await sleep(100)
  }
  await tell('link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1')
  await tell('link', 'set', 'd0', 'up')
  await tell('address', 'add', '192.0.2.1/24', 'dev', 'd0')
  await tell('route', 'add', 'unreachable', '198.51.100.0/24')
  await tell('-6', 'route', 'add', 'unreachable', '2001:db8::/64')
  await tell('rule', 'add', 'from', '192.0.2.1', 'lookup', '7')
  await tell('link', 'delete', 'd0')
  await monitor.close()
})
