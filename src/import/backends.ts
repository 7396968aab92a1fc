import { found } from '../config/issue.ts'
import type { Ledger } from './ledger.ts'
import type { ProxySection } from './proxy.ts'

/** Which sections clients connect to, and which of them and of others their connections go to. */

export type LookUp = (name: string) => ProxySection | undefined

export function lookUp(proxies: readonly ProxySection[]): LookUp {
  const backends = new Map<string, ProxySection>()
  for (const proxy of proxies)
    if (proxy.kind !== 'frontend' && !backends.has(proxy.name)) backends.set(proxy.name, proxy)
  return name => backends.get(name)
}

/** A listen section that binds nothing may be a backend of others. */
export function frontendsOf(proxies: readonly ProxySection[]): ProxySection[] {
  const used = new Set(
    proxies.flatMap(({ defaultBackend, routing }) => [
      defaultBackend?.value,
      ...routing.map(({ backend }) => backend),
    ]),
  )
  return proxies.filter(({ kind, name, binds, failed }) => {
    const isBackend = binds.length === 0 && !failed.has('bind') && used.has(name)
    return kind === 'frontend' || (kind === 'listen' && !isBackend)
  })
}

/** The backend of connections that no rule routes; where there is none, that of the first rule. */
export function backendOf(
  frontend: ProxySection,
  backendNamed: LookUp,
  ledger: Ledger,
): ProxySection | undefined {
  const { defaultBackend, kind, name, line, servers, routing, failed } = frontend
  if (defaultBackend !== undefined) {
    const backend = backendNamed(defaultBackend.value)
    if (backend === undefined)
      ledger.missing(defaultBackend.line, noBackend(defaultBackend.value, 'default_backend'))
    return backend
  }
  const routed = routing.map(({ backend }) => backendNamed(backend)).find(backend => backend !== undefined)
  if (kind === 'listen' && (servers.length > 0 || routed === undefined)) return frontend
  if (routed !== undefined) return routed
  for (const rule of routing) ledger.missing(rule.line, noBackend(rule.backend, 'a backend'))
  if (routing.length === 0 && !failed.has('default_backend') && !failed.has('use_backend'))
    ledger.missing(line, `found no default_backend for frontend ${name}; add one`)
  return undefined
}

export function noBackend(name: string, as: string): string {
  return `${found(name)} as ${as}; there is no backend of that name, or it is disabled`
}
