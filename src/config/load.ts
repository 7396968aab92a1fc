import { resolve } from 'node:path'
import * as v from 'valibot'
import { parseHostPorts } from './address.ts'
import type { AdminConfig, Config, ForwardConfig, TunnelConfig } from './config.ts'
import { type ConfigDocument, readDocument } from './document.ts'
import { digestOf, type FileText, readText } from './file.ts'
import { foreignFile } from './foreign.ts'
import { forwardSchema } from './forward-schema.ts'
import { isListenHost, resolveForward } from './forwards.ts'
import { type Host, readHost } from './host.ts'
import { found, hasErrors, type Issue } from './issue.ts'
import { tooManyListeners } from './listener-count.ts'
import { collisions, type ListenerPlan } from './listeners.ts'
import { adminSchema, configSchema, linkSchema, type TunnelSection, tunnelSchema } from './schema.ts'
import { targetRouteIssues, unroutedTargets } from './target-routes.ts'
import { resolveTunnel } from './tunnel.ts'

export interface LoadOptions {
  /** The YAML file; relative paths in it are relative to its folder. */
  readonly configFile: string
  /** `--wg-conf`: wins over `tunnel.wgConf`, and makes a tunnel where the file has none. */
  readonly wgConf?: string
  /** `--admin`: wins over `admin.listen`. */
  readonly admin?: string
}

export interface Loaded {
  /** `undefined` exactly when one of the issues is an error. */
  readonly config: Config | undefined
  readonly issues: Issue[]
  /** What was read, right or wrong: absolute path to the digest of its content (file.ts). */
  readonly files: ReadonlyMap<string, string>
}

const adminListen = ['admin', 'listen']

/**
 * Reads a config with all the files that it names and judges all of it: every issue, not the first.
 * Touches no network, runs nothing.
 * @param host what this host's own network looks like.
 * @param readFile for a config that is not in a file yet.
 */
export async function loadConfig(
  options: LoadOptions,
  host?: Host,
  readFile: (path: string) => Promise<FileText> = readText,
): Promise<Loaded> {
  const files = new Map<string, string>()
  const read = async (path: string) => {
    const content = await readFile(path)
    // What a pipe gave is not there any more to be compared.
    if (!content.isPipe) files.set(resolve(path), digestOf(content))
    return content
  }
  return { ...(await judge(options, host ?? (await readHost()), read)), files }
}

async function judge(
  { configFile, wgConf, admin: adminFlag }: LoadOptions,
  host: Host,
  read: (path: string) => Promise<FileText>,
): Promise<Omit<Loaded, 'files'>> {
  const content = await read(configFile)
  if (content.reason !== undefined) return { config: undefined, issues: [atFlag(configFile, content.reason)] }
  const foreign = foreignFile('config', content.text)
  if (foreign !== undefined) return { config: undefined, issues: [atFlag(configFile, foreign.message)] }
  const document = readDocument(configFile, content.text)
  const issues = [...document.issues]
  const sections = mapping(document.value)

  const hasTunnel = sections.tunnel !== undefined || wgConf !== undefined
  const section = tunnelSection(mapping(sections.tunnel))
  const tunnel = hasTunnel
    ? await resolveTunnel({ configFile, document, section, wgConf, host, read }, issues)
    : undefined
  const forwards = Object.entries(mapping(sections.forwards)).flatMap(([name, value]): ForwardConfig[] => {
    const forward = v.safeParse(forwardSchema, value)
    if (!forward.success) return []
    return [resolveForward({ name, section: forward.output, document, hasTunnel, tunnel }, issues)]
  })
  if (sections === document.value && isNothing(sections.forwards))
    issues.push(noForwards(document, hasTunnel))
  const admin = resolveAdmin(sections.admin, adminFlag, document, issues)
  const link = linkOf(sections.link, tunnel)
  issues.push(...collisionIssues({ forwards, admin, link, tunnel, flag: adminFlag, document }))
  issues.push(...targetRouteIssues(forwards, tunnel, document))
  issues.push(...tooManyListeners(forwards, tunnel, host.openFiles, document))

  const whole = v.safeParse(configSchema, document.value)
  if (!whole.success || admin === undefined || hasErrors(issues)) return { config: undefined, issues }
  const { readiness, drainDelay, drainTimeout, log } = whole.output
  return {
    config: {
      file: configFile,
      tunnel: tunnel && { ...tunnel, unroutedTargets: unroutedTargets(forwards, tunnel) },
      forwards,
      link,
      admin,
      readiness,
      drainDelay,
      drainTimeout,
      log,
    },
    issues,
  }
}

/** What of a section is right, key by key, and the defaults for the rest: one wrong key hides no other finding. */
function tunnelSection(raw: Record<string, unknown>): TunnelSection {
  const right = Object.entries(tunnelSchema.entries).flatMap(([key, schema]) => {
    const value = v.safeParse(schema, raw[key])
    return value.success ? [[key, value.output]] : []
  })
  return { ...v.parse(tunnelSchema, {}), ...Object.fromEntries(right) }
}

function resolveAdmin(
  raw: unknown,
  flag: string | undefined,
  document: ConfigDocument,
  issues: Issue[],
): AdminConfig | undefined {
  const section = v.safeParse(adminSchema, raw ?? {})
  if (!section.success) return undefined
  const listen = flag === undefined ? section.output.listen : parseHostPorts(flag)
  if (listen !== undefined && listen.first === listen.last && isListenHost(listen.host))
    return { host: listen.host, port: listen.first, page: section.output.page }
  const allowed =
    'allowed: ADDRESS:PORT, [v6]:PORT, localhost:PORT or :PORT for all addresses; one port, no name'
  const message = `${found(flag ?? mapping(raw).listen)}; ${allowed}`
  issues.push(flag === undefined ? document.issue('error', adminListen, message) : atFlag('--admin', message))
  return undefined
}

/** Links need a tunnel. */
function linkOf(raw: unknown, tunnel: TunnelConfig | undefined): Config['link'] {
  const section = v.safeParse(linkSchema, raw ?? {})
  return tunnel === undefined || !section.success || section.output === false ? undefined : section.output
}

function collisionIssues({
  forwards,
  admin,
  link,
  tunnel,
  flag,
  document,
}: {
  forwards: readonly ForwardConfig[]
  admin: AdminConfig | undefined
  link: Config['link']
  tunnel: TunnelConfig | undefined
  flag: string | undefined
  document: ConfigDocument
}): Issue[] {
  const plans = forwards.map(
    ({ name, listen }): ListenerPlan => ({ path: ['forwards', name, 'listen'], listen }),
  )
  if (admin !== undefined)
    plans.push({ path: adminListen, listen: { host: admin.host, first: admin.port, last: admin.port } })
  if (link !== undefined)
    plans.push({ path: ['link', 'port'], listen: { host: 'tunnel', first: link.port, last: link.port } })
  return collisions(plans, tunnel).map(({ earlier, later, port }) => {
    const place = document.place(earlier.path)
    const message = `found port ${port} at an address that ${earlier.path.join('.')} (${place}) listens on; move one of them to another port or address`
    return later.path === adminListen && flag !== undefined
      ? atFlag('--admin', message)
      : document.issue('error', later.path, message)
  })
}

function noForwards(document: ConfigDocument, hasTunnel: boolean): Issue {
  return hasTunnel
    ? document.issue('warning', ['forwards'], 'found none; the end has a tunnel and forwards nothing')
    : document.issue(
        'error',
        ['forwards'],
        'found none, and no tunnel; add forwards: {NAME: {listen, target}} or tunnel:',
      )
}

/** An issue about a flag, or about a file as a whole. */
function atFlag(file: string, message: string): Issue {
  return { severity: 'error', file, line: 0, column: 0, message }
}

function isNothing(value: unknown): boolean {
  return value === undefined || (typeof value === 'object' && Object.keys(value ?? {}).length === 0)
}

function mapping(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}
}
