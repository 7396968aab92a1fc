import { isHostName } from '../config/address.ts'
import { found } from '../config/issue.ts'
import { readCondition } from './condition.ts'
import type { Source } from './forward.ts'
import type { Ledger } from './ledger.ts'
import { upstreamOf } from './upstream.ts'
import type { Entry } from './yaml.ts'

/** `routes` from `use_backend NAME if { req.ssl_sni -i HOST… }`: the first that names a host has it. */
export function routesOf(source: Source, sendProxy: Entry['value'], ledger: Ledger): Entry[] {
  const routes = new Map<string, Entry>()
  for (const { line, args } of source.frontend.routing) {
    const [name = '', ...words] = args
    const condition = readCondition(words, line, source.frontend.acls)
    if (condition?.kind !== 'name' || condition.negated || !condition.values.every(isHostName)) {
      ledger.error(
        line,
        `${found(`use_backend ${args.join(' ')}`)}; allowed: one condition, if { req.ssl_sni -i HOST… }; choose by anything else in the reverse proxy`,
      )
      continue
    }
    const backend = source.backendNamed(name)
    const upstream = backend && upstreamOf(backend, source.listen, ledger)
    if (backend === undefined) ledger.error(line, `${found(name)} as a backend; there is none of that name`)
    if (upstream === undefined) continue
    if (upstream.sendProxy.value !== sendProxy)
      ledger.error(
        upstream.sendProxy.lines[0]!,
        'found another PROXY header than the default backend gets; a forward has one sendProxy, make them equal',
      )
    const lines = [...condition.lines, line, ...upstream.target.lines, backend!.line]
    for (const host of condition.values)
      if (!routes.has(host.toLowerCase()))
        routes.set(host.toLowerCase(), { key: host.toLowerCase(), value: upstream.target.value, lines })
  }
  return routes.size === 0 ? [] : [{ key: 'routes', value: [...routes.values()], lines: [] }]
}
