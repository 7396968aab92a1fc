import { readFile } from 'node:fs/promises'
import { styleText } from 'node:util'
import { ask, findUrl } from '../admin/client.ts'
import { adminUrl, readRunFiles } from '../admin/run-file.ts'
import type { EndStatus } from '../admin/status.ts'
import type { Config } from '../config/config.ts'
import { formatIssue } from '../config/issue.ts'
import { loadConfig } from '../config/load.ts'
import { EndError } from '../errors.ts'
import { answerTimeout, defaultConfigFile, readFlags, runFolder } from '../text/flags.ts'
import { print } from '../text/print.ts'
import { visible } from '../text/visible.ts'
import { type Finding, failed, ok, warning } from './finding.ts'
import { forwardFindings } from './forward.ts'
import { hostFindings } from './host.ts'
import { tunnelFindings } from './peer.ts'
import { traceFindings } from './trace.ts'

/**
 * `doctor`: every step from the config to the target, what was found there, and what to change. With an end running
 * here it asks that one, else it looks at what a start would need. Exit status 1 when a step failed, 3 when all that
 * failed is the config.
 */
export async function doctor(args: string[]): Promise<number> {
  const flags = readFlags(args, {
    config: { type: 'string' },
    'wg-conf': { type: 'string' },
    url: { type: 'string' },
    json: { type: 'boolean' },
    trace: { type: 'boolean' },
    forward: { type: 'string' },
  })
  const { config, findings, url } = await configFindings(flags)
  const status = url === undefined ? undefined : await statusOf(url)
  if (status === undefined && (flags.url !== undefined || flags.trace))
    throw new EndError('UNREACHABLE', `no end answers at ${url ?? 'any place that is known'}`, {
      fix: 'Start it (wg-punchhole run), or say where it is with --url',
    })
  if (status !== undefined && url !== undefined) {
    findings.push(ok('running end', `${url}: ${status.health.status}`))
    findings.push(...(await tunnelFindings(status, config)), ...(await forwardFindings(status)))
    if (flags.trace) findings.push(...(await traceFindings(status, url, flags.forward)))
  } else if (config !== undefined) {
    findings.push(warning('running end', `none answers at ${url}`, 'Start it: wg-punchhole run'))
    findings.push(...(await hostFindings(config, runFolder)))
  }
  const color = process.stdout.isTTY && !process.env.NO_COLOR
  print(flags.json ? `${JSON.stringify(findings, null, 2)}\n` : formatFindings(findings, color))
  const bad = findings.filter(({ state }) => state === 'failed')
  if (bad.length === 0) return 0
  return bad.every(({ step }) => step === 'config') ? 3 : 1
}

async function statusOf(url: string): Promise<EndStatus | undefined> {
  try {
    const { status, body } = await ask(url, '/status.json', answerTimeout)
    return status === 200 ? JSON.parse(body) : undefined
  } catch {
    return undefined
  }
}

interface Where {
  readonly config?: string | undefined
  readonly 'wg-conf'?: string | undefined
  readonly url?: string | undefined
}

/** The config and the end that runs it. Without flags it is the one end that runs here, with the flags that it was given. */
async function configFindings(
  flags: Where,
): Promise<{ config: Config | undefined; findings: Finding[]; url: string | undefined }> {
  const ends = await readRunFiles(runFolder)
  const isNamed = flags.config !== undefined || flags['wg-conf'] !== undefined
  const found = flags.url ?? (isNamed ? undefined : await findUrl(runFolder))
  const where = isNamed ? flags : await flagsOf(ends.find(({ url }) => url === found)?.pid)
  const configFile = where.config ?? defaultConfigFile
  const wgConf = where['wg-conf']
  const { config, issues } = await loadConfig({ configFile, ...(wgConf !== undefined && { wgConf }) })
  const findings = issues.map(issue => {
    const text = formatIssue(issue)
    const fix = 'Correct it; `wg-punchhole check` tells when it is right'
    return issue.severity === 'error' ? failed('config', text, fix) : warning('config', text, fix)
  })
  if (config === undefined) return { config, findings, url: found }
  const ours = ends.find(({ name }) => name === config.tunnel?.interface)?.url
  const url = found ?? ours ?? adminUrl(config.admin.host, config.admin.port)
  return { config, findings: [ok('config', `${configFile} is valid`), ...findings], url }
}

/** Of the end that runs with this pid: the chart, for one, gives it --wg-conf. */
async function flagsOf(pid: number | undefined): Promise<Where> {
  const line = pid === undefined ? '' : await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')
  const words = line.split('\0')
  const after = (flag: string) => {
    const at = words.indexOf(flag)
    return at < 0 ? words.find(word => word.startsWith(`${flag}=`))?.slice(flag.length + 1) : words[at + 1]
  }
  return words.includes('run') ? { config: after('--config'), 'wg-conf': after('--wg-conf') } : {}
}

const shown = {
  ok: ['ok', 'green'],
  warning: ['warning', 'yellow'],
  failed: ['FAILED', 'red'],
  unknown: ['unknown', 'dim'],
} as const

/** For a person: one line a step, and below what failed what to do. */
export function formatFindings(findings: readonly Finding[], color: boolean): string {
  const width = Math.max(...findings.map(({ step }) => step.length))
  return findings
    .map(({ step, state, found, fix }) => {
      const [word, style] = shown[state]
      const head = word.padEnd(8)
      const painted = color ? styleText(style, head, { validateStream: false }) : head
      const line = `${painted} ${visible(step).padEnd(width)}  ${visible(found)}\n`
      return fix === undefined ? line : `${line}${' '.repeat(11 + width)}→ ${visible(fix)}\n`
    })
    .join('')
}
