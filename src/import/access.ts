import { parseCidr } from '../config/address.ts'
import { found } from '../config/issue.ts'
import { type Acls, type Condition, readCondition } from './condition.ts'
import type { Ledger } from './ledger.ts'
import type { Directive } from './section.ts'

/** Prefixes and the lines that they come from. */
export interface Prefixes {
  readonly values: readonly string[]
  readonly lines: readonly number[]
}

/** As the config has it: `deny` first, then, if there is one, only `allow`. */
export interface Filter {
  readonly allow?: Prefixes
  readonly deny?: Prefixes
}

export const stages = ['connection', 'session', 'content'] as const
export type Stage = (typeof stages)[number]

/**
 * What the `tcp-request` rules of one stage let in. Only orders of rules that a list of each kind can say: rejects of
 * sources, then either `reject unless`, or accepts of sources with a reject of all others.
 */
export function readFilter(stage: Stage, rules: readonly Directive[], acls: Acls, ledger: Ledger): Filter {
  let deny: Prefixes | undefined
  let allow: Prefixes | undefined
  let accepted: Prefixes | undefined
  let isDecided = false
  for (const { line, args } of rules.filter(({ args }) => args[0] === stage)) {
    const [, action, ...words] = args
    const condition = words.length > 0 ? readCondition(words, line, acls) : undefined
    const problem = problemOf(action, words, condition)
    if (problem !== undefined) ledger.error(line, `${found(args.join(' '))}; ${problem}`)
    else if (isDecided) ledger.leaveOut(line, 'after a rule without a condition')
    else if (condition === undefined) {
      isDecided = true
      if (action === 'accept') ledger.leaveOut(line, 'what is left is let in')
      else if (accepted === undefined)
        ledger.error(line, 'found a reject of every connection; remove the section, or let somebody in')
      else allow = add(accepted, { values: [], lines: [line] })
    } else if (action === 'accept' && !condition.negated && allow === undefined)
      accepted = add(accepted, condition)
    else if (action === 'reject' && !condition.negated && accepted === undefined) deny = add(deny, condition)
    else if (action === 'reject' && condition.negated && accepted === undefined && allow === undefined)
      allow = condition
    else
      ledger.error(
        line,
        'found an order of rules that lists of allow and deny cannot say; write rejects first, then one reject unless',
      )
  }
  if (allow === undefined)
    for (const line of accepted?.lines ?? [])
      ledger.leaveOut(line, 'no reject follows, so all others are let in, too')
  return { ...(allow && { allow }), ...(deny && { deny }) }
}

function problemOf(
  action: string | undefined,
  words: readonly string[],
  condition: Condition | undefined,
): string | undefined {
  if (action !== 'accept' && action !== 'reject')
    return 'only accept and reject can be carried over, remove it'
  if (words.length === 0) return undefined
  if (condition?.kind !== 'source')
    return 'allowed: one condition, if or unless { src PREFIX… }; filter in the firewall or the reverse proxy'
  const wrong = condition.values.find(value => parseCidr(value) === undefined)
  return wrong === undefined ? undefined : `${wrong} is no prefix; write one such as 10.0.0.0/8`
}

function add(one: Prefixes | undefined, other: Prefixes): Prefixes {
  return {
    values: [...(one?.values ?? []), ...other.values],
    lines: [...(one?.lines ?? []), ...other.lines],
  }
}

/** Both filters, one after the other. */
export function both(one: Filter, other: Filter, ledger: Ledger): Filter {
  if (one.allow !== undefined && other.allow !== undefined)
    ledger.error(
      other.allow.lines[0]!,
      `found a second list of who is let in, beside line ${one.allow.lines[0]}; write one that has what both have`,
    )
  const allow = one.allow ?? other.allow
  const deny = one.deny && other.deny ? add(one.deny, other.deny) : (one.deny ?? other.deny)
  return { ...(allow && { allow }), ...(deny && { deny }) }
}
