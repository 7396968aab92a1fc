import { resolve } from 'node:path'
import * as v from 'valibot'
import { parseHostPorts } from '../address.ts'
import type { AdminConfig, Config, ForwardConfig, TunnelConfig } from './config.ts'
import { type ConfigDocument, readDocument } from './document.ts'
import { digestOf, type FileText, readText } from './file.ts'
import { foreignFile } from './foreign.ts'
import { forwardSchema } from './forward-schema.ts'
import { isListenHost, resolveForward } from './forwards.ts'
import { type Host, readHost } from './host.ts'
import { found, type Issue } from './issue.ts'
import { Issues, type Shown } from './issues.ts'
import { tooManyListeners } from './listener-count.ts'
import { collisions, type ListenerPlan } from './listeners.ts'
import { adminSchema, configSchema, linkSchema, type TunnelSection, tunnelSchema } from './schema.ts'
import { reportTargetRoutes, unroutedTargets } from './target-routes.ts'
import { resolveTunnel } from './tunnel.ts'

export interface LoadOptions {
  /** The YAML file; relative paths in it are relative to its folder. */
  readonly configFile: string
  /** `--wg-conf`: wins over `tunnel.wgConf`, and makes a tunnel where the file has none. */
  readonly wgConf?: string
  /** `--admin`: wins over `admin.listen`. */
  readonly admin?: string
}

export interface Loaded extends Shown {
  /** `undefined` exactly when one of the issues is an error. */
  readonly config: Config | undefined
  /** What was read, right or wrong: absolute path to the digest of its content (file.ts). */
  readonly files: ReadonlyMap<string, string>
}

const adminListen = ['admin', 'listen']

/**
 * Reads a config with all the files that it names and judges all of it: every issue is counted, the first ones are told.
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
  const issues = new Issues(options.configFile)
  const config = await judge(options, host ?? (await readHost()), read, issues)
  return { config, ...issues.shown(), files }
}

async function judge(
  { configFile, wgConf, admin: adminFlag }: LoadOptions,
  host: Host,
  read: (path: string) => Promise<FileText>,
  issues: Issues,
): Promise<Config | undefined> {
  const content = await read(configFile)
  const wrong = content.reason ?? foreignFile('config', content.text)?.message
  if (wrong !== undefined) issues.add(atFlag(configFile, wrong))
  if (wrong !== undefined || content.text === undefined) return undefined
  const document = readDocument(configFile, content.text)
  issues.addAll(document)
  const sections = mapping(document.value)

  const hasTunnel = sections.tunnel !== undefined || wgConf !== undefined
  const section = tunnelSection(mapping(sections.tunnel))
  const isRefused =
    sections.tunnel !== undefined &&
    (mapping(sections.tunnel) !== sections.tunnel || mapping(sections.tunnel).wgConf !== undefined)
  const tunnel = hasTunnel
    ? await resolveTunnel({ configFile, document, section, isRefused, wgConf, host, read }, issues)
    : undefined
  const trustedPeers = (tunnel?.peers ?? []).flatMap(peer => peer.trusted)
  const forwards = Object.entries(mapping(sections.forwards)).flatMap(([name, value]): ForwardConfig[] => {
    const forward = v.safeParse(forwardSchema, value)
    if (!forward.success) return []
    return [
      resolveForward({ name, section: forward.output, document, hasTunnel, tunnel, trustedPeers }, issues),
    ]
  })
  if (sections === document.value && isNothing(sections.forwards)) issues.add(noForwards(document, hasTunnel))
  const admin = resolveAdmin(sections.admin, adminFlag, document, issues)
  const link = linkOf(sections.link, tunnel)
  const tooMany = tooManyListeners(forwards, tunnel, host.openFiles, document)
  // Of so many listeners it does not matter which collide.
  if (tooMany !== undefined) issues.add(tooMany)
  else reportCollisions({ forwards, admin, link, tunnel, flag: adminFlag, document }, issues)
  reportTargetRoutes(forwards, tunnel, document, issues)

  const whole = v.safeParse(configSchema, document.value)
  if (!whole.success || admin === undefined || issues.hasErrors) return undefined
  const { readiness, drainDelay, drainTimeout, log } = whole.output
  return {
    file: configFile,
    tunnel: tunnel && { ...tunnel, unroutedTargets: unroutedTargets(forwards, tunnel) },
    forwards,
    link,
    admin,
    readiness,
    drainDelay,
    drainTimeout,
    log,
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
  issues: Issues,
): AdminConfig | undefined {
  const section = v.safeParse(adminSchema, raw ?? {})
  if (!section.success) return undefined
  const listen = flag === undefined ? section.output.listen : parseHostPorts(flag)
  if (listen !== undefined && listen.first === listen.last && isListenHost(listen.host))
    return { host: listen.host, port: listen.first, page: section.output.page }
  const allowed =
    'allowed: ADDRESS:PORT, [v6]:PORT, localhost:PORT or :PORT for all addresses; one port, no name'
  const message = `${found(flag ?? mapping(raw).listen)}; ${allowed}`
  issues.add(flag === undefined ? document.issue('error', adminListen, message) : atFlag('--admin', message))
  return undefined
}

/** Links need a tunnel. */
function linkOf(raw: unknown, tunnel: TunnelConfig | undefined): Config['link'] {
  const section = v.safeParse(linkSchema, raw ?? {})
  return tunnel === undefined || !section.success || section.output === false ? undefined : section.output
}

interface Listening {
  readonly forwards: readonly ForwardConfig[]
  readonly admin: AdminConfig | undefined
  readonly link: Config['link']
  readonly tunnel: TunnelConfig | undefined
  readonly flag: string | undefined
  readonly document: ConfigDocument
}

function reportCollisions(
  { forwards, admin, link, tunnel, flag, document }: Listening,
  issues: Issues,
): void {
  const plans = forwards.map(
    ({ name, protocol, listen }): ListenerPlan => ({ path: ['forwards', name, 'listen'], protocol, listen }),
  )
  if (admin !== undefined)
    plans.push({
      path: adminListen,
      protocol: 'tcp',
      listen: { host: admin.host, first: admin.port, last: admin.port },
    })
  if (link !== undefined)
    plans.push({
      path: ['link', 'port'],
      protocol: 'tcp',
      listen: { host: 'tunnel', first: link.port, last: link.port },
    })
  for (const { earlier, later, port } of collisions(plans, tunnel)) {
    const place = document.place(earlier.path)
    const message = `found port ${port} at an address that ${earlier.path.join('.')} (${place}) listens on; move one of them to another port or address`
    issues.add(
      later.path === adminListen && flag !== undefined
        ? atFlag('--admin', message)
        : document.issue('error', later.path, message),
    )
  }
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
