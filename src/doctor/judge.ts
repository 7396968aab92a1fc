import type { Judge } from '../connection/trace.ts'

/** What a running end says of a target of its own to who traces a connection. Loaded when it is asked for. */
export const judge: Judge = async (...target) => (await import('./forward.ts')).judgeTarget(...target)
