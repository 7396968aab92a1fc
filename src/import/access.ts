import type { Ledger } from './ledger.ts'
import type { AccessRule, Stage } from './rules.ts'

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

const ORDER =
  'found an order of rules that lists of allow and deny cannot say; write rejects first, then one reject unless'

/** What the rules of one stage do, read one after the other. */
interface Reading {
  readonly deny?: Prefixes
  readonly allow?: Prefixes
  readonly accepted?: Prefixes
  /** The rule that lets in all who speak TLS: what follows is for others. */
  readonly hello?: number
  /** A rule without a condition has come. */
  readonly isDecided?: boolean
}

/**
 * What the `tcp-request` rules of one stage let in. Only orders of rules that a list of each kind can say: rejects of
 * sources, then either `reject unless`, or accepts of sources with a reject of all others.
 *
 * @param refusesOthers whether the forward itself refuses who speaks no TLS: where only names lead to targets.
 */
export function readFilter(
  stage: Stage,
  rules: readonly AccessRule[],
  refusesOthers: boolean,
  ledger: Ledger,
): Filter {
  let reading: Reading = {}
  for (const rule of rules.filter(rule => rule.stage === stage))
    reading = { ...reading, ...readRule(rule, reading, refusesOthers, ledger) }
  const { allow, deny, accepted } = reading
  if (allow === undefined)
    for (const line of accepted?.lines ?? [])
      ledger.leaveOut(line, 'no reject follows, so all others are let in, too')
  return { ...(allow && { allow }), ...(deny && { deny }) }
}

function readRule(rule: AccessRule, reading: Reading, refusesOthers: boolean, ledger: Ledger): Reading {
  if (reading.isDecided) {
    ledger.leaveOut(rule.line, 'after a rule without a condition')
    return {}
  }
  return readHelloRule(rule, reading, refusesOthers, ledger) ?? readSourceRule(rule, reading, ledger)
}

/** Rules that tell TLS from other connections, and those behind one; `undefined` for others. */
function readHelloRule(
  { line, action, condition }: AccessRule,
  { hello }: Reading,
  refusesOthers: boolean,
  ledger: Ledger,
): Reading | undefined {
  const isPlain = condition?.kind === 'hello' && condition.negated
  const isTls = condition?.kind === 'hello' && !condition.negated
  const isLast = condition === undefined
  if (action === 'accept' && isTls) {
    ledger.leaveOut(line, 'a ClientHello is waited for where there are routes')
    return { hello: line }
  }
  if (action === 'reject' && (isPlain || (isLast && hello !== undefined))) {
    if (refusesOthers) ledger.leaveOut(line, 'what is not TLS has no route, and is refused')
    else
      ledger.error(
        line,
        'found a reject of what is not TLS; here it goes to the target: remove default_backend to refuse it, or remove the reject',
      )
    return { isDecided: isLast }
  }
  if (isPlain || isTls) {
    ledger.error(line, ORDER)
    return {}
  }
  if (hello === undefined || isLast) return undefined
  ledger.error(
    line,
    `found a rule behind that of line ${hello}, so for what is not TLS alone; write it before that one`,
  )
  return {}
}

function readSourceRule(rule: AccessRule, { accepted, allow, deny }: Reading, ledger: Ledger): Reading {
  const { line, action, condition } = rule
  if (condition === undefined) return decide(rule, accepted, ledger)
  if (action === 'accept' && !condition.negated && allow === undefined)
    return { accepted: add(accepted, condition) }
  if (action === 'reject' && accepted === undefined) {
    if (!condition.negated) return { deny: add(deny, condition) }
    if (allow === undefined) return { allow: condition }
  }
  ledger.error(line, ORDER)
  return {}
}

/** A rule without a condition. */
function decide({ line, action }: AccessRule, accepted: Prefixes | undefined, ledger: Ledger): Reading {
  if (action === 'accept') ledger.leaveOut(line, 'what is left is let in')
  else if (accepted !== undefined)
    return { isDecided: true, allow: add(accepted, { values: [], lines: [line] }) }
  else ledger.error(line, 'found a reject of every connection; remove the section, or let somebody in')
  return { isDecided: true }
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
