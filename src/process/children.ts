import type { ChildProcess } from 'node:child_process'

/** Child processes that run for as long as this one does. */
const children = new Set<ChildProcess>()

/** Counts it among those, until it ends. */
export function keepChild(child: ChildProcess): void {
  children.add(child)
  child.once('exit', () => children.delete(child))
}

/** Kills them all, without waiting: this process ends at once, and nobody would end them after it. */
export function killChildren(): void {
  for (const child of children) child.kill('SIGKILL')
}
