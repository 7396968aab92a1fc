import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { canonical } from '../address.ts'
import { readText } from '../config/file.ts'
import { formatShown, Issues } from '../config/issues.ts'
import { loadConfig } from '../config/load.ts'
import { parseWgConf } from '../config/wg-conf.ts'
import { usageError } from '../errors.ts'
import { print } from '../text/print.ts'
import { Ledger } from './ledger.ts'
import type { Tunnel } from './listener.ts'
import { readSections, type Section } from './section.ts'
import { translate } from './translation.ts'
import { writeYaml, type Yaml } from './yaml.ts'

/**
 * A haproxy.cfg as a config of this program. It carries over what a forward can do, names in a comment what the forwards
 * do without, and refuses the file for anything else: a line is never lost without a word.
 */

export interface Imported {
  /** The config; `undefined` exactly when there is an error. */
  readonly yaml: string | undefined
  /** The first errors and warnings for a person, each with its place, and how many more there are. */
  readonly messages: readonly string[]
}

/** The command. @returns 0, or 1 when the file cannot be carried over or read. @throws EndError `USAGE`. */
export async function importConfig(args: readonly string[]): Promise<number> {
  const { file, wgConf } = flagsOf(args)
  const { yaml, messages } = await importFile(file, wgConf)
  for (const message of messages) process.stderr.write(`${message}\n`)
  print(yaml ?? '')
  return yaml === undefined ? 1 : 0
}

function flagsOf(args: readonly string[]): { file: string; wgConf: string | undefined } {
  const { positionals, values } = parse(args)
  const [file, ...others] = positionals
  if (file === undefined) throw usageError('HAPROXY.CFG is missing')
  if (others.length > 0) throw usageError(`unexpected ${others.join(' ')}`)
  return { file, wgConf: values['wg-conf'] }
}

function parse(args: readonly string[]) {
  try {
    const options = { 'wg-conf': { type: 'string' } } as const
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: true })
  } catch (error) {
    throw usageError((error as Error).message)
  }
}

/** @param wgConf the wg-quick file of this end, so that what is bound to its addresses becomes `tunnel:`. */
export async function importFile(file: string, wgConf?: string): Promise<Imported> {
  const [config, wg] = await Promise.all([
    readText(file, { pipes: true }),
    wgConf === undefined ? undefined : readText(wgConf),
  ])
  const unreadable = [config.reason, wg?.reason].filter(reason => reason !== undefined)
  if (config.text === undefined || unreadable.length > 0)
    return { yaml: undefined, messages: unreadable.map(reason => `error: ${reason}`) }
  const tunnel = wgConf === undefined ? undefined : tunnelOf(wgConf, wg!.text!)
  return importText(file, config.text, tunnel)
}

function tunnelOf(wgConf: string, text: string): Tunnel {
  const { addresses } = parseWgConf(wgConf, text).conf
  return { wgConf, addresses: addresses.map(({ value }) => canonical(value.address)) }
}

/** @param file the file's name, for the messages. */
export async function importText(file: string, text: string, tunnel?: Tunnel): Promise<Imported> {
  const ledger = new Ledger()
  const sections = readSections(text, ledger)
  const entries = translate(sections, tunnel, ledger)
  const yaml = writeYaml(comment(file, sections, tunnel, ledger), entries)
  const issues = new Issues(file)
  await judge(yaml, ledger, issues)
  for (const finding of ledger.findings) issues.add({ ...finding, file, column: 0 })
  return {
    yaml: issues.hasErrors ? undefined : yaml.text,
    messages: formatShown(issues.shown(), ['error', 'warning']),
  }
}

/** What the program itself says of the config, at the lines that it comes from; and of the files beside it. */
async function judge({ text, origins }: Yaml, ledger: Ledger, beside: Issues): Promise<void> {
  const configFile = resolve('config.yaml')
  const isPartial = ledger.hasErrors
  const { issues, more } = await loadConfig({ configFile }, undefined, path =>
    path === configFile ? Promise.resolve({ text, worldReadable: false }) : readText(path),
  )
  beside.addAll({ issues: issues.filter(({ file }) => file !== configFile), more })
  for (const { file: where, line, severity, key, message } of issues) {
    // That nothing is left to forward is a consequence of other errors.
    if (where !== configFile || (isPartial && key === 'forwards')) continue
    const mentioned: number[] = []
    const said = message.replace(/ \((\d+):\d+\)/g, (_, at) => {
      const other = origins.get(Number(at))
      if (other !== undefined) mentioned.push(other)
      return other === undefined ? '' : ` (line ${other})`
    })
    // What the config does not say itself (admin.listen) has no line; the other side of a collision has.
    const isOurs = key !== undefined && /^(forwards\.|drainTimeout$)/.test(key)
    const origin = (isOurs ? origins.get(line) : mentioned[0]) ?? 0
    const sentence = `${key === undefined ? '' : `${key}: `}${said}`
    if (severity === 'error') ledger.error(origin, sentence)
    else ledger.warn(origin, sentence)
  }
}

/** What stands above the config: where it comes from, and what was left out, by reason. */
function comment(
  file: string,
  sections: readonly Section[],
  tunnel: Tunnel | undefined,
  ledger: Ledger,
): string[] {
  const texts = new Map(
    sections.flatMap(({ line, kind, name, directives }) => [
      [line, `${kind} ${name}`.trim()] as const,
      // A third word may be a password (stats auth), of some even the second.
      ...directives.map(({ line, name, args }) => {
        const shown = /secret|-key$/.test(name) ? [] : args.slice(0, 1)
        return [line, [name, ...shown].join(' ')] as const
      }),
    ]),
  )
  const leftOut = Map.groupBy(
    [...ledger.leftOut].sort(([a], [b]) => a - b),
    ([, reason]) => reason,
  )
  const reasons = [...leftOut].map(([reason, lines]) => {
    const places = lines.map(([line]) => `line ${line} ${(texts.get(line) ?? '').slice(0, 60)}`.trimEnd())
    return `  ${reason}: ${places.join(', ')}`
  })
  return [
    `From ${file} by wg-punchhole import; lines are those of that file.`,
    ...(tunnel === undefined
      ? ['The tunnel stays outside; import again with --wg-conf wg0.conf to have it here.']
      : []),
    ...(reasons.length > 0 ? ['Left out:', ...reasons] : []),
  ]
}
