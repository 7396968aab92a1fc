/**
 * Collects into LICENSES/ the licence of everything that is delivered with the program: the npm packages it needs when it
 * runs, and what is linked into wireguard-go. Run it after a change of a dependency; needs Go and node_modules.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export const folder = 'LICENSES'

if (import.meta.main) {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const name of runtimePackages())
    writeFileSync(fileOf('npm', name), licenseIn(join('node_modules', name)))
  for (const module of linkedModules())
    writeFileSync(fileOf('go', module), licenseIn(go('list', '-m', '-f', '{{.Dir}}', module)))
  writeFileSync(fileOf('go', 'runtime'), licenseIn(go('env', 'GOROOT')))
}

/** The npm packages that the program needs when it runs, the indirect ones too. */
export function runtimePackages(): string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8'))
  const found = new Set<string>(Object.keys(packages[''].dependencies))
  for (const name of found) {
    for (const next of Object.keys(packages[`node_modules/${name}`].dependencies ?? {})) found.add(next)
  }
  return [...found].sort()
}

/** The Go modules that native/go.mod names, without wintun, which is for Windows. */
export function linkedModules(): string[] {
  const required = readFileSync('native/go.mod', 'utf8').matchAll(/^(?:require )?\s*(\S+\.\S+\/\S+) v\S+/gm)
  return Array.from(required, match => match[1]!).filter(module => !module.endsWith('/wintun'))
}

/** The licence text in a package's folder; throws when it has none. */
export function licenseIn(packageFolder: string): string {
  const file = readdirSync(packageFolder).find(name => /^(licen[cs]e|copying)(\.\w+)?$/i.test(name))
  if (file === undefined) throw new Error(`${packageFolder} has no licence file`)
  return readFileSync(join(packageFolder, file), 'utf8')
}

export function fileOf(kind: 'npm' | 'go', name: string): string {
  return join(folder, `${kind}-${name.replace('@', '').replaceAll('/', '-')}.txt`)
}

function go(...args: string[]): string {
  return execFileSync('go', args, { cwd: 'native', encoding: 'utf8' }).trim()
}
