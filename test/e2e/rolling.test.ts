import t from 'tap'
import { behindHaproxy, oneByOne, overLinks, rolling } from './rolling.ts'

t.setTimeout(400_000)

/** The short form of rolling.full.ts. */
rolling(t, overLinks, ['SIGTERM', 'SIGKILL'], 6)
rolling(t, oneByOne, ['SIGTERM'], 6)
rolling(t, behindHaproxy, ['SIGTERM'], 6)
