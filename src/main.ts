#!/usr/bin/env -S node --max-semi-space-size=4
// At most 4 MiB instead of 16 for each half of the young generation: what it has grown to is not given back, up to
// a third of the memory of some thousand idle connections. `npm run bench` shows no less throughput.
import { complaintOf } from './node-version.ts'

const complaint = complaintOf(process.versions.node)
if (complaint === undefined) {
  // Only now: an old Node could not even read the rest.
  void import('./cli.ts').then(async ({ main }) => {
    const code = await main(process.argv.slice(2))
    // Not process.exit(): a pipe may still have to take what was printed.
    if (!process.exitCode) process.exitCode = code
  })
} else {
  process.stderr.write(`wg-punchhole: ${complaint}\n`)
  process.exitCode = 1
}
