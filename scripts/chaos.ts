import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { chaos } from '../test/load/chaos.ts'

/** Breaks a running pair of ends at random: `npm run chaos -- [--seed N] [--faults N]`. The same seed, the same faults. */
const { values: flags } = parseArgs({ options: { seed: { type: 'string' }, faults: { type: 'string' } } })
const seed = whole('seed', flags.seed, randomInt(2 ** 32))
const faults = whole('faults', flags.faults, 200)

if (process.getuid?.() !== 0) {
  console.error('This needs root, for network namespaces, TUN devices and routes; run it with sudo')
  process.exitCode = 1
} else if (seed === undefined || faults === undefined) process.exitCode = 2
else {
  console.log(`seed ${seed}, ${faults} faults`)
  const violations = await chaos({ seed, faults, print: line => console.log(line) })
  for (const violation of violations) console.log(`FAIL  seed ${seed}, ${violation}`)
  if (violations.length === 0) console.log(`seed ${seed}: ${faults} faults, all mended`)
  process.exitCode = violations.length === 0 ? 0 : 1
}

function whole(name: string, text: string | undefined, otherwise: number): number | undefined {
  if (text === undefined) return otherwise
  if (/^\d{1,10}$/.test(text)) return Number(text)
  console.error(`--${name} ${text}: a whole number is needed, such as --${name} 7`)
  return undefined
}
