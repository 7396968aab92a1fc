import type { TraceAnswer } from '../connection/trace.ts'
import type { Verdict } from '../upstream/status.ts'
import { type Finding, failed, findingStates, ok } from './finding.ts'

/** What another end of ours said of the target behind it, as it is told here. `reached` comes first where it has reached that. */
export function otherEndFinding(
  step: string,
  reached: string,
  { target, targetMs, targetError, verdict }: TraceAnswer,
): Finding {
  if (targetMs === undefined)
    return failed(
      step,
      `the other end answers, and does not reach its target ${target}: ${targetError}`,
      'Run doctor at the other end: it says what is wrong with its target',
    )
  if (!isVerdict(verdict)) return ok(step, `${reached}; what the target makes of the header it does not say`)
  const { state, found, fix } = verdict
  return { step, state, found: `${reached}; it says: ${found}`, fix: fix && `At the other end: ${fix}` }
}

/** An end of another version may say less, or other things. */
function isVerdict(verdict: Verdict | undefined): verdict is Verdict {
  return (
    typeof verdict?.found === 'string' &&
    findingStates.includes(verdict.state) &&
    (verdict.fix === undefined || typeof verdict.fix === 'string')
  )
}
