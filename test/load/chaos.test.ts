import t from 'tap'
import { chaos } from './chaos.ts'

/** The short form of `npm run chaos`. */
t.test(
  'a few faults drawn at random: no byte is lost, and all is as before',
  { timeout: 300_000 },
  async t => {
    const lines: string[] = []
    const violations = await chaos({ seed: 33, faults: 8, print: line => lines.push(line) })
    t.same(violations, [], lines.join('\n'))
    t.equal(lines.filter(line => line.startsWith('fault ')).length, 8)
  },
)
