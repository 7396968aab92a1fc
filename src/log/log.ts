import { pino } from 'pino'
import { LogOutput } from './output.ts'

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'

/** One line per event: fields first, then a constant message. The part of pino that the modules use. */
export interface Log {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
  isLevelEnabled(level: LogLevel): boolean
}

/** The log of a whole end. `output.end()` is its last call. */
export interface OwnLog extends Log {
  level: string
  readonly output: LogOutput
}

/**
 * JSON lines on stdout. pino's own destination would keep every line in memory while nobody reads, and cut one at exit.
 * Keys never reach it: no module logs a config or a UAPI answer as a whole, and `redact` stands behind that.
 */
export function createLog(level: LogLevel): OwnLog {
  const output = new LogOutput((lines, error) => {
    const told = log.isLevelEnabled('warn') ? 'warn' : 'error'
    log[told]({ lines, error }, 'log lines dropped')
  })
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: ['privateKey', 'presharedKey', '*.privateKey', '*.presharedKey'],
  }
  const log: OwnLog = Object.assign(pino(options, output), { output })
  return log
}
