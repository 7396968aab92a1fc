import t from 'tap'
import { importText } from '../../src/import/import.ts'
import { Lab } from '../lab/lab.ts'
import { haproxyFiles } from './haproxy-files.ts'
import { compare, fileOf, SideBySide, withPorts } from './side-by-side.ts'

/** What takes no seconds; the whole table, with HAProxy's part of what is refused, is in differential.full.ts. */

const lab = await Lab.create()
t.teardown(() => lab.close())

const quick = haproxyFiles.filter(({ isSlow }) => !isSlow)
const sides = await SideBySide.start(lab, quick)
t.jobs = 8
t.ok(quick.length >= 30)
for (const row of quick) t.test(row.name, t => compare(t, sides, row))

for (const row of haproxyFiles.filter(({ messages }) => messages !== undefined))
  t.test(`refused: ${row.name}`, async t => {
    const { yaml, messages } = await importText('haproxy.cfg', fileOf(row))
    t.equal(yaml, undefined)
    t.same(
      messages.filter(message => message.includes(': error: ')),
      row.messages?.map(message => withPorts(row, message)),
    )
  })
