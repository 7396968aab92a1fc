import type { SpawnOptions } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t from 'tap'
import { adoptProcess, reach, type Spawn, startProcess } from '../../src/tunnel/process.ts'
import { FakeChild, FakeUapi, KeptLog, socketPath } from './fake.ts'

const start = async (child: FakeChild, log = new KeptLog(), hasTerminal = false) => {
  let seen: { command: string; args: readonly string[]; options: SpawnOptions } | undefined
  const spawn = ((command: string, args: readonly string[], options: SpawnOptions) => {
    seen = { command, args, options }
    return child
  }) as unknown as Spawn
  const process = await startProcess({
    binary: '/bin/wireguard-go',
    interface: 'wg0',
    log,
    spawn,
    hasTerminal,
  })
  return { process, log, spawned: () => seen! }
}

t.test('started in the foreground, with a clean environment, out of reach of Ctrl-C', async t => {
  process.env.SECRET_OF_OURS = 'x'
  const { process: started, spawned } = await start(new FakeChild())
  t.equal(started.pid, 4711)
  t.match(spawned(), { command: '/bin/wireguard-go', args: ['-f', 'wg0'], options: { detached: false } })
  const inTerminal = await start(new FakeChild(), new KeptLog(), true)
  t.match(inTerminal.spawned(), { options: { detached: true } })
  const { GOMEMLIMIT, ...env } = spawned().options.env!
  t.strictSame(env, { WG_PROCESS_FOREGROUND: '1', LOG_LEVEL: 'verbose', PATH: process.env.PATH })
  const quiet = new KeptLog()
  quiet.debugEnabled = false
  t.equal((await start(new FakeChild(), quiet)).spawned().options.env!.LOG_LEVEL, 'error')
})

t.test('its lines become log lines, without time stamps and keys', async t => {
  const child = new FakeChild()
  const { log } = await start(child)
  const key = 'ab'.repeat(32)
  child.stdout.write(
    `DEBUG: (wg0) 2026/05/22 10:11:12 Device started\nERROR: (wg0) 2026/05/22 10:11:12 bad ${key} `,
  )
  child.stdout.end(`and ${Buffer.from(key, 'hex').toString('base64')}\n`)
  child.stderr.end('panic: oh\n')
  await log.seen('wireguard-go', 3)
  t.strictSame(log.lines.map(({ level, fields }) => [level, fields.line]).sort(), [
    ['debug', 'Device started'],
    ['error', 'bad (key) and (key)'],
    ['warn', 'panic: oh'],
  ])
})

t.test('how it ended is told', async t => {
  for (const [end, told] of [
    [(child: FakeChild) => child.end(1), 'exited with status 1'],
    [(child: FakeChild) => child.end(null, 'SIGSEGV'), 'killed by SIGSEGV'],
    [
      (child: FakeChild) => child.emit('error', Object.assign(new Error(), { code: 'EACCES' })),
      'could not be run: EACCES',
    ],
    [(child: FakeChild) => child.emit('error', new Error('odd')), 'could not be run: odd'],
  ] as const) {
    const child = new FakeChild()
    const { process } = await start(child)
    void end(child)
    t.equal(await process.exited, told)
  }
})

t.test('SIGTERM first, SIGKILL for the deaf', async t => {
  const polite = new FakeChild()
  await (await start(polite)).process.stop()
  t.strictSame(polite.signals, ['SIGTERM'])
  const deaf = new FakeChild()
  deaf.deaf = true
  await (await start(deaf)).process.stop()
  t.strictSame(deaf.signals, ['SIGTERM', 'SIGKILL'])
})

t.test('an adopted one is ended through its socket, and given up on when it does not care', async t => {
  const server = new FakeUapi()
  const path = socketPath()
  await server.listen(path)
  const log = new KeptLog()
  const adopted = adoptProcess((await reach(path))!, path, log)
  t.equal(adopted.pid, undefined)
  await adopted.stop()
  t.notOk(existsSync(path))
  t.equal(log.of('adopted wireguard-go does not end').length, 1)
  await server.close()
})

t.test('a stale socket is removed, and only a stale one', async t => {
  const server = new FakeUapi()
  const path = socketPath()
  t.equal(await reach(path), undefined)
  await server.listen(path)
  ;(await reach(path))!.destroy()
  t.ok(existsSync(path))
  await server.close()
  writeFileSync(path, '')
  t.equal(await reach(path), undefined)
  t.notOk(existsSync(path))
})

t.test('an adopted one that is killed with words unread has ended, too', async t => {
  const path = socketPath()
  let peer: Socket | undefined
  const server = createServer(socket => {
    peer = socket.pause()
  })
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.teardown(() => server.close())
  const watch = (await reach(path))!
  const { exited } = adoptProcess(watch, path, new KeptLog())
  // The kernel resets a connection that is closed with bytes unread.
  await new Promise(resolve => watch.write('get=1\n\n', resolve))
  peer!.destroy()
  t.equal(await exited, 'ended')
})
