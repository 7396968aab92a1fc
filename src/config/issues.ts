import { formatIssue, type Issue, type Severity } from './issue.ts'

/** Of each severity that many are kept and shown: the first ones of the files. A person corrects these, and asks again. */
export const mostShown = 20

/** What was found wrong: the first issues of each severity in the order of the files, and how many more there are. */
export interface Shown {
  readonly issues: readonly Issue[]
  readonly more: Readonly<Record<Severity, number>>
}

/** Collects issues in any order; a file with a million of them costs no more memory than one with a thousand. */
export class Issues {
  /** Files in the order in which they are told of. */
  readonly #ranks = new Map<string, number>()
  readonly #more = { error: 0, warning: 0 }
  #kept: Issue[] = []

  /** @param file whose issues stand before those of all others. */
  constructor(file: string) {
    this.#ranks.set(file, 0)
  }

  get hasErrors(): boolean {
    return this.#more.error > 0 || this.#kept.some(({ severity }) => severity === 'error')
  }

  add(issue: Issue): void {
    if (!this.#ranks.has(issue.file)) this.#ranks.set(issue.file, this.#ranks.size)
    this.#kept.push(issue)
    // Rarely, so that each issue is sorted a few times at most.
    if (this.#kept.length >= 50 * mostShown) this.#shorten()
  }

  addAll({ issues, more }: Shown): void {
    for (const issue of issues) this.add(issue)
    this.#more.error += more.error
    this.#more.warning += more.warning
  }

  shown(): Shown {
    this.#shorten()
    return { issues: [...this.#kept], more: { ...this.#more } }
  }

  #shorten(): void {
    const rank = ({ file }: Issue) => this.#ranks.get(file)!
    // What is said of a file as a whole is often of what is missing in it: it follows from other issues.
    const lineOf = ({ line }: Issue) => line || Number.MAX_SAFE_INTEGER
    this.#kept.sort((a, b) => rank(a) - rank(b) || lineOf(a) - lineOf(b) || a.column - b.column)
    const counts = { error: 0, warning: 0 }
    const isShown = ({ severity }: Issue) => ++counts[severity] <= mostShown
    this.#kept = this.#kept.filter(isShown)
    for (const severity of ['error', 'warning'] as const)
      this.#more[severity] += Math.max(0, counts[severity] - mostShown)
  }
}

/** One line for each issue of these severities, and one for what is not shown. */
export function formatShown({ issues, more }: Shown, severities: readonly Severity[]): string[] {
  const lines = issues.filter(({ severity }) => severities.includes(severity)).map(formatIssue)
  const others = severities.flatMap(severity => {
    const count = more[severity]
    return count === 0 ? [] : [`${count} more ${severity}${count === 1 ? '' : 's'}`]
  })
  return others.length === 0 ? lines : [...lines, `and ${others.join(', ')}`]
}
