import { EndError, messageOf } from '../errors.ts'

export const findingStates = ['ok', 'warning', 'failed', 'unknown'] as const

/** What the doctor found at one step. */
export interface Finding {
  /** What was looked at: `config`, `tunnel device`, `peer AbCdEfGh`, `target of web`. */
  readonly step: string
  /** `unknown`: it cannot be told from here. */
  readonly state: (typeof findingStates)[number]
  readonly found: string
  /** What to change. */
  readonly fix: string | undefined
}

export function ok(step: string, found: string): Finding {
  return { step, state: 'ok', found, fix: undefined }
}

export function failed(step: string, found: string, fix: string): Finding {
  return { step, state: 'failed', found, fix }
}

export function warning(step: string, found: string, fix: string): Finding {
  return { step, state: 'warning', found, fix }
}

export function unknown(step: string, found: string): Finding {
  return { step, state: 'unknown', found, fix: undefined }
}

/** What a check that throws says: `fine` when it does not. */
export async function findingOf(step: string, fine: string, check: () => unknown): Promise<Finding> {
  try {
    await check()
    return ok(step, fine)
  } catch (error) {
    const fix = error instanceof EndError ? error.fix : undefined
    return { step, state: 'failed', found: messageOf(error), fix }
  }
}
