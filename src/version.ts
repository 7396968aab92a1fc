import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Of this package: one above src/, and above dist/, where all modules lie in one folder. */
export const packageFolder = fileURLToPath(new URL('..', import.meta.url))

/** The version in package.json. */
export const version: string = JSON.parse(readFileSync(`${packageFolder}package.json`, 'utf8')).version
