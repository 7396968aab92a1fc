import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { Lab } from '../lab/lab.ts'
import { haproxyFiles } from './haproxy-files.ts'
import { compare, fileOf, SideBySide } from './side-by-side.ts'

/** The whole table: also what takes seconds, and what HAProxy makes of the files that the import refuses. */

const lab = await Lab.create()
t.teardown(() => lab.close())

const isStarted = haproxyFiles.filter(({ cases }) => cases.length > 0)
const sides = await SideBySide.start(lab, isStarted)
t.jobs = 16
for (const row of isStarted)
  t.test(`${row.messages === undefined ? '' : 'refused: '}${row.name}`, t => compare(t, sides, row))

t.test('HAProxy takes each file', async t => {
  const host = await lab.host('check')
  for (const row of haproxyFiles) {
    const path = join(lab.folder, `check-${row.port}.cfg`)
    await writeFile(path, fileOf(row))
    await t.resolves(host.exec('haproxy', '-c', '-f', path), row.name)
  }
})
