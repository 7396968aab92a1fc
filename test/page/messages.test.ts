import { globSync, readFileSync } from 'node:fs'
import t from 'tap'
import { readings } from '../../src/page/readings.ts'

t.test('each message that is an event is one that the program logs', async t => {
  const sources = globSync('src/**/*.ts')
    .filter(path => !path.startsWith('src/page/'))
    .map(path => readFileSync(path, 'utf8'))
  t.ok(readings.size > 10)
  for (const message of readings.keys())
    t.ok(
      sources.some(source => source.includes(`'${message}'`)),
      message,
    )
})
