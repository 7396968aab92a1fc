import type { Ledger } from './ledger.ts'
import type { Directive } from './words.ts'

const messages = ['.diag', '.notice', '.warning', '.alert']

/**
 * The lines that are in force whatever HAProxy finds where it runs: those outside of `.if` and `.endif`, section 2.4 of
 * its configuration manual. One error stands for a whole block.
 */
export function withoutBranches(directives: readonly Directive[], ledger: Ledger): Directive[] {
  const outside: Directive[] = []
  const open: Directive[] = []
  const refuse = (begin: Directive, end: string) =>
    ledger.gap(
      begin.line,
      `found .if, whose branch depends on where HAProxy runs; keep the lines of one branch and remove the rest, up to ${end}`,
    )
  for (const directive of directives) {
    if (directive.name === '.if') open.push(directive)
    else if (directive.name === '.endif' && open.length > 0) {
      const begin = open.pop()!
      if (open.length === 0) refuse(begin, `.endif (line ${directive.line})`)
    } else if (open.length > 0) continue
    else if (messages.includes(directive.name))
      ledger.leaveOut(directive.line, 'HAProxy prints it at its start')
    else outside.push(directive)
  }
  if (open.length > 0) refuse(open[0]!, 'the .endif that is missing')
  return outside
}
