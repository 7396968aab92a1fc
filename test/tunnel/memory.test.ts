import { join } from 'node:path'
import t from 'tap'
import { memoryLimit } from '../../src/process/memory-limit.ts'
import { hardLimit, residentBytes, softLimit } from '../../src/tunnel/memory.ts'
import { sample } from '../../src/tunnel/sample.ts'
import type { Uapi } from '../../src/tunnel/uapi.ts'
import { KeptLog } from './fake.ts'

t.test('the memory limit of cgroup v2, else v1', async t => {
  const dir = t.testdir({
    max: 'max\n',
    v2: '1073741824\n',
    none: '9223372036854771712\n',
    v1: '536870912\n',
    odd: 'what',
  })
  const limit = (...names: string[]) => memoryLimit(names.map(name => join(dir, name)))
  t.equal(await limit('v2', 'v1'), 1073741824)
  t.equal(await limit('absent', 'v1'), 536870912)
  t.equal(await limit('max', 'v1'), undefined)
  t.equal(await limit('absent', 'none'), undefined)
  t.equal(await limit('odd'), undefined)
  t.equal(await limit('absent'), undefined)
})

t.test('resident memory of a process that is there', async t => {
  t.ok(residentBytes(process.pid)! > 10 << 20)
  t.equal(residentBytes(2 ** 22), undefined)
  t.strictSame([softLimit(1001), hardLimit(1000)], [500, 750])
})

t.test('a wireguard-go that takes too much is ended', async t => {
  const exited = Promise.withResolvers<string>()
  const log = new KeptLog()
  const child = { pid: process.pid, exited: exited.promise, stop: async () => exited.resolve('killed') }
  await sample({ process: child, uapi: {} as Uapi }, () => t.fail('sampled'), {
    log,
    now: () => performance.now(),
    limit: 1 << 20,
  })
  t.match(log.of('wireguard-go takes too much memory, ending it'), [
    { level: 'error', fields: { residentBytes: Number, limitBytes: 1 << 20 } },
  ])
})
