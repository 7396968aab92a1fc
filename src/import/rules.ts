import { found } from '../config/issue.ts'
import { type Acls, type Condition, type Criterion, readCondition, readCriterion } from './condition.ts'
import type { Ledger } from './ledger.ts'
import type { ProxyKind } from './section.ts'
import type { Directive } from './words.ts'

export const stages = ['connection', 'session', 'content'] as const
export type Stage = (typeof stages)[number]

/** `tcp-request STAGE accept|reject [CONDITION]`. */
export interface AccessRule {
  readonly line: number
  readonly stage: Stage
  readonly action: 'accept' | 'reject'
  /** `undefined`: always. */
  readonly condition: Condition | undefined
}

/** `use_backend NAME if { req.ssl_sni … }`. */
export interface RoutingRule {
  readonly line: number
  readonly backend: string
  readonly condition: Condition
}

const NAMES = 'req.ssl_sni -i NAME… or req.ssl_sni -m end .DOMAIN…'
const SOURCE =
  'allowed: one condition, if or unless { src PREFIX… }; filter by anything else in the firewall or the reverse proxy'
const NAME =
  'allowed: one condition, if { req.ssl_sni -i NAME… } or if { req.ssl_sni -m end .DOMAIN… }; choose by anything else in the reverse proxy'

/**
 * What the `acl` lines of one section name. Lines with the same name add up, also where a rule stands between them;
 * those of a defaults section are its own.
 */
export function readAcls(directives: readonly Directive[], ledger: Ledger): Acls {
  const acls = new Map<string, Criterion | 'refused'>()
  for (const { line, args } of directives) {
    const [name = '', ...words] = args
    const criterion = readCriterion(words, line)
    const earlier = acls.get(name)
    const isOther =
      earlier !== undefined && earlier !== 'refused' && 'kind' in criterion && earlier.kind !== criterion.kind
    if ('problem' in criterion || isOther) {
      const problem =
        'problem' in criterion
          ? (criterion.problem ??
            `allowed: src PREFIX…, ${NAMES}; leave the choice to the firewall or the reverse proxy`)
          : `${name} asks something else before; name one of them otherwise`
      ledger.error(line, `${found(words.join(' '))} as a condition; ${problem}`)
      acls.set(name, 'refused')
    } else if (earlier !== 'refused')
      acls.set(name, {
        kind: criterion.kind,
        values: [...(earlier?.values ?? []), ...criterion.values],
        lines: [...(earlier?.lines ?? []), line],
        remark: earlier?.remark ?? criterion.remark,
      })
  }
  return acls
}

/** @param directives those named `tcp-request`, but for `inspect-delay`. */
export function readAccess(
  directives: readonly Directive[],
  kind: ProxyKind,
  acls: Acls,
  ledger: Ledger,
): AccessRule[] {
  return directives.flatMap(({ line, args }): AccessRule[] => {
    const [given, action, ...words] = args
    const stage = stages.find(known => known === given)
    // A backend gets the connection when the first two stages are over.
    if (stage === undefined || (kind === 'backend' && stage !== 'content'))
      ledger.error(
        line,
        `found tcp-request ${given} in a section ${kind}; a forward has no such thing, remove it`,
      )
    else if (action !== 'accept' && action !== 'reject')
      ledger.error(line, `${found(args.join(' '))}; only accept and reject can be carried over, remove it`)
    else if (words.length === 0) return [{ line, stage, action, condition: undefined }]
    else {
      const condition = readCondition(words, line, acls)
      if (condition === 'refused') return []
      if ('problem' in condition)
        ledger.error(line, `${found(args.join(' '))}; ${condition.problem ?? SOURCE}`)
      else if (condition.kind === 'name')
        ledger.error(
          line,
          `${found(args.join(' '))}; names choose a target, and refuse nobody: use routes without a target`,
        )
      else if (condition.kind === 'hello' && stage !== 'content')
        ledger.error(line, `${found(args.join(' '))}; only tcp-request content sees a ClientHello`)
      else return [{ line, stage, action, condition }]
    }
    return []
  })
}

/** @param directives those named `use_backend`. */
export function readRouting(directives: readonly Directive[], acls: Acls, ledger: Ledger): RoutingRule[] {
  return directives.flatMap(({ line, args }): RoutingRule[] => {
    const [backend = '', ...words] = args
    const condition = readCondition(words, line, acls)
    if (condition === 'refused') return []
    const problem =
      'problem' in condition
        ? (condition.problem ?? NAME)
        : condition.kind !== 'name' || condition.negated
          ? NAME
          : undefined
    if (problem === undefined) return [{ line, backend, condition: condition as Condition }]
    ledger.error(line, `${found(`use_backend ${args.join(' ')}`)}; ${problem}`)
    return []
  })
}
