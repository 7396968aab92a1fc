import t from 'tap'
import { compare } from './wg-quick.ts'
import { everyday } from './wg-quick-files.ts'

t.test('what people write is taken as wg-quick takes it', t => compare(t, everyday))
