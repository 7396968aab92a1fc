#!/usr/bin/env -S node --max-semi-space-size=4
// At most 4 MiB instead of 16 for each half of the young generation: what it has grown to is not given back, up to
// a third of the memory of some thousand idle connections. `npm run bench` shows no less throughput.
import { main } from './cli.ts'

// Not process.exit(): a pipe may still have to take what was printed.
const code = await main(process.argv.slice(2))
process.exitCode ||= code
