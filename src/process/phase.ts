import type { Reason } from '../reason.ts'

/** What an end does with its whole life. */
export type Phase = 'starting' | 'running' | 'draining'

/** Why an end is not ready by itself. */
export function phaseReasons(phase: Phase): Reason[] {
  if (phase === 'starting') return [{ code: 'starting', detail: 'the first start is not complete' }]
  if (phase === 'draining')
    return [{ code: 'draining', detail: 'this end was told to stop and lets its connections finish' }]
  return []
}
