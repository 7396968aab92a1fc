import { pino } from 'pino'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** One line per event: fields first, then a constant message. The part of pino that the modules use. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  isLevelEnabled(level: LogLevel): boolean
  child(fields: object): Log
}

/**
 * JSON lines on stdout, written synchronously: the last line before an exit is never lost.
 * Keys never reach it: no module logs a config or a UAPI answer as a whole, and `redact` stands behind that.
 */
export function createLog(level: LogLevel): Log & { level: string } {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: label => ({ level: label }) },
    redact: ['privateKey', 'presharedKey', '*.privateKey', '*.presharedKey'],
  })
}
