import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Pipe } from '../lab/pipe.ts'
import { scratchFolder } from '../lab/scratch.ts'

/** Log lines, whatever stdout is and however it is read: each in order, whole, and once, or counted as dropped. */

const script = join(import.meta.dirname, '../lab/log-flood.ts')

interface Told {
  readonly grown: number
  readonly dropped: number
  readonly took: number
}

/** The process of log-flood.ts. */
class Flood {
  readonly child: ChildProcess
  readonly #exited: Promise<unknown[]>

  private constructor(child: ChildProcess) {
    this.child = child
    this.#exited = once(child, 'close')
  }

  static async start(t: Test, stdout: number | 'pipe', wrapper: readonly string[] = []): Promise<Flood> {
    const [command, ...args] = [...wrapper, process.execPath, script]
    const env = { ...process.env, NODE_V8_COVERAGE: '' }
    const child = spawn(command!, args, { stdio: ['ignore', stdout, 'pipe', 'ipc'], env })
    t.teardown(() => child.kill('SIGKILL'))
    const flood = new Flood(child)
    await once(child, 'message')
    return flood
  }

  lines(count: number): Promise<Told> {
    return this.#ask(count)
  }

  /** Ends it; gives what it says last once it has exited by itself. */
  async end(ms: number): Promise<Told> {
    const told = await this.#ask({ end: ms })
    const [code] = await this.#exited
    if (code !== 0) throw new Error(`it exited with ${code}`)
    return told
  }

  async #ask(order: number | { end: number }): Promise<Told> {
    this.child.send(order)
    const [told] = await once(this.child, 'message')
    return told
  }
}

/** Asserts that each line from 0 on is there once, in order, or told of where it is missing. */
function complete(t: Test, text: string): { dropped: number; lastIsThere: boolean } {
  t.equal(text.at(-1), '\n', 'no line is cut')
  let next = 0
  let dropped = 0
  let lastIsThere = false
  for (const line of text.trimEnd().split('\n')) {
    const { n, msg, lines } = JSON.parse(line)
    if (msg === 'log lines dropped') {
      next += lines
      dropped += lines
      continue
    }
    if (n !== next) t.equal(n, next, 'the line after the one before')
    next = n + 1
    lastIsThere = msg === 'last'
  }
  return { dropped, lastIsThere }
}

t.test('nobody reads: memory is bounded, and what was dropped is told when somebody does', async t => {
  const pipe = new Pipe()
  const flood = await Flood.start(t, pipe.writeEnd)
  pipe.spawned()
  const { grown, dropped } = await flood.lines(200_000)
  // Of 40 MB; most of it is what logging itself takes, wherever it goes.
  t.ok(grown < 40e6, `grown by ${grown} bytes`)
  t.ok(dropped > 100_000, `${dropped} lines dropped`)
  await pipe.read({ until: text => text.includes('log lines dropped') })
  t.equal((await flood.lines(100)).dropped, dropped, 'from then on lines are taken again')
  const [text, told] = await Promise.all([pipe.read(), flood.end(60_000)])
  t.equal(told.dropped, dropped)
  t.same(complete(t, text), { dropped, lastIsThere: true })
})

t.test('a slow reader gets every line', async t => {
  const pipe = new Pipe()
  const flood = await Flood.start(t, pipe.writeEnd)
  pipe.spawned()
  t.equal((await flood.lines(3_000)).dropped, 0)
  const [text] = await Promise.all([pipe.read({ bytes: 4_000, every: 3 }), flood.end(60_000)])
  t.same(complete(t, text), { dropped: 0, lastIsThere: true })
})

t.test('a reader that does what it can gets every line or hears of it', async t => {
  const file = join(scratchFolder(), 'log')
  const flood = await Flood.start(t, 'pipe', ['sh', '-c', `"$@" | cat > ${file}; exit 0`, '-'])
  await flood.lines(100_000)
  const { dropped } = await flood.end(60_000)
  t.same(complete(t, readFile(file)), { dropped, lastIsThere: true })
})

t.test('nobody ever reads: it ends when its time is over, and what the pipe holds is whole', async t => {
  for (const kind of ['pipe', 'socket'] as const) {
    const pipe = new Pipe()
    // What Node calls a pipe is a socket.
    const flood = await Flood.start(t, kind === 'pipe' ? pipe.writeEnd : 'pipe')
    pipe.spawned()
    await flood.lines(10_000)
    const { took } = await flood.end(1_500)
    t.ok(took >= 1_400, `${kind}: ${took} ms`)
    if (kind === 'pipe') complete(t, await pipe.read())
  }
})

t.test('a process that ends by an exception writes its last lines', async t => {
  for (const stdout of ['file', 'pipe'] as const) {
    const file = join(scratchFolder(), 'log')
    const pipe = new Pipe()
    const fd = openSync(file, 'w')
    const flood = await Flood.start(t, stdout === 'file' ? fd : pipe.writeEnd)
    closeSync(fd)
    pipe.spawned()
    flood.child.send('throw')
    await once(flood.child, 'close')
    const text = stdout === 'file' ? readFile(file) : await pipe.read()
    t.match(text.trimEnd().split('\n').at(-1), '"msg":"about to throw"', stdout)
  }
})

t.test('a terminal that is stopped', async t => {
  const pipe = new Pipe()
  // script(1) does not read the terminal while its own stdout takes nothing.
  const words = [process.execPath, script].map(word => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', `exec ${words}`, '/dev/null'], {
    stdio: ['ignore', pipe.writeEnd, 'inherit', 'ipc'],
    env: { ...process.env, NODE_V8_COVERAGE: '' },
  })
  t.teardown(() => child.kill('SIGKILL'))
  pipe.spawned()
  await once(child, 'message')
  child.send(50_000)
  const [{ dropped }] = await once(child, 'message')
  t.ok(dropped > 0, `${dropped} lines dropped`)
  child.send({ end: 1_000 })
  const [{ took }] = await once(child, 'message')
  t.ok(took >= 900, `${took} ms`)
  t.match((await pipe.read({ until: text => text.length > 10_000 })).split('\r\n')[0], /"n":0,/)
})

t.test('a pipe whose reader goes, and another that comes', async t => {
  const fifo = join(scratchFolder(), 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = spawn('cat', [fifo], { stdio: ['ignore', 'ignore', 'inherit'] })
  const writeEnd = openSync(fifo, 'w')
  const flood = await Flood.start(t, writeEnd)
  closeSync(writeEnd)
  await flood.lines(10)
  reader.kill()
  await once(reader, 'close')
  const { dropped } = await flood.lines(20_000)
  t.ok(dropped > 0)
  const second = join(scratchFolder(), 'second')
  const next = spawn('sh', ['-c', `cat ${fifo} > ${second}`], { stdio: 'ignore' })
  const ended = once(next, 'close')
  while (!readFile(second).includes('log lines dropped')) await sleep(20)
  await flood.end(60_000)
  await ended
  const lines = readFile(second).trimEnd().split('\n')
  const told = lines.map(line => JSON.parse(line)).find(({ msg }) => msg === 'log lines dropped')
  t.match(told, { level: 'warn', lines: dropped, error: 'EPIPE' })
  t.match(lines.at(-1), '"msg":"last"')
})

t.test('a full disk: it goes on, and so do the lines when there is room', async t => {
  const folder = scratchFolder()
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', folder])
  t.teardown(() => execFileSync('umount', ['--lazy', folder]))
  writeFileSync(join(folder, 'ballast'), Buffer.alloc(200_000))
  const log = join(folder, 'log')
  const fd = openSync(log, 'w')
  const flood = await Flood.start(t, fd)
  closeSync(fd)
  await flood.lines(800)
  rmSync(join(folder, 'ballast'))
  await flood.end(60_000)
  t.same(complete(t, readFile(log)), { dropped: 0, lastIsThere: true })

  writeFileSync(join(folder, 'ballast'), Buffer.alloc(50_000))
  const again = openSync(log, 'a')
  const full = await Flood.start(t, again)
  closeSync(again)
  t.ok((await full.lines(20_000)).dropped > 0)
  t.ok((await full.end(60_000)).took < 30_000, 'it does not wait for room')
})

t.test('/dev/full, /dev/null, a file, and no stdout at all', async t => {
  for (const [path, dropped] of [
    ['/dev/full', true],
    ['/dev/null', false],
    [join(scratchFolder(), 'log'), false],
  ] as const) {
    const fd = openSync(path, 'w')
    const flood = await Flood.start(t, fd)
    closeSync(fd)
    t.equal((await flood.lines(path.startsWith('/dev/') ? 20_000 : 5_000)).dropped > 0, dropped, path)
    t.ok((await flood.end(60_000)).took < 30_000, path)
    if (path.endsWith('/log')) t.same(complete(t, readFile(path)), { dropped: 0, lastIsThere: true })
  }
  const closed = await Flood.start(t, 'pipe', ['sh', '-c', 'exec "$@" >&-', '-'])
  t.equal((await closed.lines(20_000)).dropped, 0)
  await closed.end(60_000)
})

function readFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
