import type { Ledger } from './ledger.ts'
import type { Setting } from './time.ts'

/** What a backend's checks do, where one of its servers is checked. */
export interface HealthCheck {
  /** `option httpchk`, `option tcp-check` and the like: the last one counts. */
  readonly option: Setting<string> | undefined
  /** `tcp-check …`, `http-check …`: what each does in its turn. */
  readonly steps: readonly Setting<string>[]
}

export const noHealthCheck: HealthCheck = { option: undefined, steps: [] }

const options = [
  'external-check',
  'httpchk',
  'ldap-check',
  'mysql-check',
  'pgsql-check',
  'redis-check',
  'smtpchk',
  'spop-check',
  'ssl-hello-chk',
  'tcp-check',
]

export function isOfCheck([name, argument = '']: readonly string[]): boolean {
  return name === 'tcp-check' || name === 'http-check' || (name === 'option' && options.includes(argument))
}

/** @param words a directive of which {@link isOfCheck} is true. */
export function readHealthCheck(words: readonly string[], line: number, earlier: HealthCheck): HealthCheck {
  return words[0] === 'option'
    ? { ...earlier, option: { value: words[1]!, line } }
    : { ...earlier, steps: [...earlier.steps, { value: words.join(' '), line }] }
}

/** A check of a forward is a TCP connect: more is an error, unless nothing is checked. */
export function compareChecks({ option, steps }: HealthCheck, isChecked: boolean, ledger: Ledger): void {
  const name = option?.value
  if (option !== undefined && name !== 'tcp-check') {
    if (isChecked)
      ledger.error(option.line, `found option ${name}; a check is a TCP connect to the target, remove it`)
    else ledger.leaveOut(option.line, 'no server is checked')
  }
  if (option !== undefined && name === 'tcp-check') ledger.leaveOut(option.line, 'a check is a TCP connect')
  const kind = name === 'httpchk' ? 'http-check' : 'tcp-check'
  for (const { value, line } of steps) {
    const isUsed = isChecked && option !== undefined && value.startsWith(kind)
    if (!isUsed) ledger.leaveOut(line, isChecked ? 'no check has this step' : 'no server is checked')
    // Those of HTTP belong to the option, which is the error.
    else if (kind === 'http-check' || value === 'tcp-check connect')
      ledger.leaveOut(line, 'a check is a TCP connect')
    else
      ledger.error(
        line,
        `found ${value.split(' ').slice(0, 2).join(' ')}; a check is a TCP connect to the target, remove it`,
      )
  }
}
