import t from 'tap'
import { compare } from './wg-quick.ts'
import { rare } from './wg-quick-files.ts'

t.setTimeout(300_000)

t.test('what nobody writes, too', t => compare(t, rare))
