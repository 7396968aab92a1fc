import { mkdir, rename, symlink, unlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { digestOf, readText } from '../../src/config/file.ts'
import { FileWatch } from '../../src/config/watch.ts'

async function known(files: string[]): Promise<Map<string, string>> {
  return new Map(await Promise.all(files.map(async file => [file, digestOf(await readText(file))] as const)))
}

/** A watch whose changes can be awaited; the long poll leaves inotify alone at work. */
async function watching(t: Test, files: string[], pollInterval = 3_600_000) {
  let wake = Promise.withResolvers<void>()
  let changes = 0
  const watch = new FileWatch(
    () => {
      changes++
      wake.resolve()
      wake = Promise.withResolvers()
    },
    { pollInterval },
  )
  // The watch keeps no process alive.
  const alive = setInterval(() => {}, 1000)
  t.teardown(() => {
    watch.close()
    clearInterval(alive)
  })
  watch.follow(await known(files))
  return {
    watch,
    get changes() {
      return changes
    },
    change: () => wake.promise,
  }
}

t.test('a file written in place, and one put in its place', async t => {
  const file = join(t.testdir({ 'config.yaml': 'a' }), 'config.yaml')
  const watched = await watching(t, [file])
  let change = watched.change()
  await writeFile(file, 'b')
  await change
  change = watched.change()
  await writeFile(`${file}.new`, 'c')
  await rename(`${file}.new`, file)
  await change
  t.equal(watched.changes, 2)
})

t.test('the ..data swap of a ConfigMap volume', async t => {
  const folder = t.testdir({ v1: { 'config.yaml': 'a' }, v2: { 'config.yaml': 'b' } })
  await symlink('v1', join(folder, '..data'))
  await symlink('..data/config.yaml', join(folder, 'config.yaml'))
  const watched = await watching(t, [join(folder, 'config.yaml')])
  const change = watched.change()
  await symlink('v2', join(folder, '..data_tmp'))
  await rename(join(folder, '..data_tmp'), join(folder, '..data'))
  await change
  t.equal(watched.changes, 1)
})

t.test('a touched file is no change; one that vanishes is, and one that comes back', async t => {
  const file = join(t.testdir({ 'config.yaml': 'a' }), 'config.yaml')
  const watched = await watching(t, [file])
  await utimes(file, new Date(), new Date(0))
  await watched.watch.look()
  t.equal(watched.changes, 0)
  await unlink(file)
  await watched.watch.look()
  t.equal(watched.changes, 1)
  await writeFile(file, 'a')
  await watched.watch.look()
  t.equal(watched.changes, 2)
})

t.test('without inotify the poll sees it: a link into another folder', async t => {
  const folder = t.testdir({ here: {}, there: { key: 'a' } })
  await symlink('../there/key', join(folder, 'here/key'))
  const watched = await watching(t, [join(folder, 'here/key')], 20)
  const change = watched.change()
  await writeFile(join(folder, 'there/key'), 'b')
  await change
  t.equal(watched.changes, 1)
})

t.test('other files of the folder, a folder that is not there, and following others', async t => {
  const folder = t.testdir({ 'config.yaml': 'a' })
  const watched = await watching(t, [join(folder, 'config.yaml'), join(folder, 'missing/key')])
  await writeFile(join(folder, 'other'), 'b')
  await watched.watch.look()
  t.equal(watched.changes, 0)
  await mkdir(join(folder, 'missing'))
  await writeFile(join(folder, 'missing/key'), 'c')
  await watched.watch.look()
  t.equal(watched.changes, 1)
  watched.watch.follow(await known([join(folder, 'other')]))
  await writeFile(join(folder, 'config.yaml'), 'b')
  await watched.watch.look()
  t.equal(watched.changes, 1)
})

t.test('a change between the reading and the watching is seen', async t => {
  const file = join(t.testdir({ 'config.yaml': 'a' }), 'config.yaml')
  const watched = await watching(t, [])
  const before = await known([file])
  await writeFile(file, 'b')
  const change = watched.change()
  watched.watch.follow(before)
  await change
  t.equal(watched.changes, 1)
})
