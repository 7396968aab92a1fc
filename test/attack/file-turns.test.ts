import { mock } from 'node:test'
import t from 'tap'
import { FileHangs, filesHang, inTurn } from '../../src/files/file-turns.ts'

/** What hangs is up to the test, and so is the clock. */
mock.timers.enable({ apis: ['setTimeout'] })
t.teardown(() => mock.timers.reset())

/** An operation that ends when the test says so. */
function operation(path: string) {
  const { promise, resolve } = Promise.withResolvers<string>()
  const seen = { runs: 0 }
  const result = inTurn(path, () => {
    seen.runs++
    return promise
  })
  result.catch(() => {})
  return { result, resolve, seen }
}

t.test('one file that hangs is asked once, and the others go on', async t => {
  const hung = operation('/nfs/key')
  mock.timers.tick(4999)
  t.notOk(filesHang())
  mock.timers.tick(1)
  await t.rejects(hung.result, /\/nfs\/key did not answer within 5 s: its file system hangs/)
  t.ok(filesHang())
  const again = operation('/nfs/key')
  await t.rejects(again.result, FileHangs)
  t.equal(again.seen.runs, 0, 'at once, and without a second thread')
  t.equal(await inTurn('/etc/hosts', async () => 'read'), 'read')
  hung.resolve('late')
  await hung.result.catch(() => {})
  await Promise.resolve()
  t.notOk(filesHang(), 'it has answered')
  t.equal(await inTurn('/nfs/key', async () => 'read'), 'read')
})

t.test('many of the same file take one thread, and two files all that there are', async t => {
  const many = Array.from({ length: 50 }, () => operation('/nfs/hosts'))
  const other = operation('/nfs/other')
  mock.timers.tick(5000)
  for (const { result } of [...many, other]) await t.rejects(result, FileHangs)
  t.equal(many.filter(({ seen }) => seen.runs > 0).length, 1)
  const third = operation('/etc/resolv.conf')
  await t.rejects(third.result, /\/nfs\/hosts did not answer/, 'it is told which one hangs')
  t.equal(third.seen.runs, 0)
  many[0]!.resolve('')
  other.resolve('')
  await new Promise(resolve => setImmediate(resolve))
  t.notOk(filesHang())
  t.equal(await inTurn('/etc/resolv.conf', async () => 'read'), 'read')
  t.equal(many.filter(({ seen }) => seen.runs > 0).length, 1, 'whose time is over is not begun later')
})
