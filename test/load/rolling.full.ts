import t from 'tap'
import { behindHaproxy, oneByOne, overLinks, rolling } from './rolling.ts'

t.setTimeout(1_200_000)

/** Pods are replaced under load, for half a minute each way. */
for (const variant of [overLinks, oneByOne, behindHaproxy]) rolling(t, variant, ['SIGTERM', 'SIGKILL'], 30)
