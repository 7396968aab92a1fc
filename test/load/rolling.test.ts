import t from 'tap'
import { overLinks, rolling } from './rolling.ts'

t.setTimeout(300_000)

/** The short form of rolling.full.ts. */
rolling(t, overLinks, ['SIGTERM', 'SIGKILL'], 6)
