import t from 'tap'
import { rolling, targetUp, twoTargets } from './rolling.ts'

/** Both pods behind a gateway are replaced under 200 new connections a second; rolling.full.ts has the long form. */

for (const how of ['SIGTERM', 'SIGKILL'] as const)
  t.test(`${how}, over links`, t => rolling(t, how, { options: twoTargets(), serves: targetUp, seconds: 10 }))

const noLink = { gateway: 'link: false', pod: 'link: false', check: ', check: { interval: 500ms, fall: 2 }' }
for (const how of ['SIGTERM', 'SIGKILL'] as const)
  t.test(`${how}, connection by connection`, t =>
    rolling(t, how, { options: twoTargets(noLink), serves: targetUp, seconds: 10 }),
  )
