import { filesHang } from '../files/file-turns.ts'
import { killChildren } from './children.ts'

/** When a running end is to end: `drain` is aborted by the first SIGTERM or SIGINT, `now` by the second. */
export interface Stop {
  readonly drain: AbortSignal
  readonly now: AbortSignal
  /** Once it is to end: at the latest in so many milliseconds, whatever it waits for then. A second signal is not put off. */
  endBy(ms: number): void
}

/** Milliseconds after which an end is over that was told to stop while it starts, and after a second signal. */
const startPatience = 10_000
const atOnce = 900
/** Milliseconds: a timer with more would fire at once. */
const longestTimer = 2 ** 31 - 1
/** Milliseconds between the end of a command and that of its process where a file hangs. */
const leftOpen = 100

/** Takes the signals over; SIGHUP would end the program until it can reload. */
export function stopSignals(): Stop {
  const drain = new AbortController()
  const now = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const endBy = (ms: number) => {
    if (now.signal.aborted) return
    clearTimeout(timer)
    timer = setTimeout(endAtOnce, Math.min(ms, longestTimer)).unref()
  }
  const onSignal = () => {
    const isSecond = drain.signal.aborted
    endBy(isSecond ? atOnce : startPatience)
    if (isSecond) now.abort()
    else drain.abort()
  }
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, onSignal)
  process.on('SIGHUP', () => {})
  return { drain: drain.signal, now: now.signal, endBy }
}

/** A command is done; a file that hangs is not waited for. */
export function endDespiteFiles(): void {
  setTimeout(() => {
    if (filesHang()) endAtOnce()
  }, leftOpen).unref()
}

/**
 * Ends this process and its children, with the exit status that is known by now, else 1.
 *
 * `process.exit` waits for the threads that work with files, and a file that hangs has one: then a shell takes the place
 * of this program, for which the kernel ends all threads.
 */
function endAtOnce(): void {
  killChildren()
  const status = Number(process.exitCode ?? 1)
  if (!hasBusyThreads()) process.exit(status)
  process.execve!('/bin/sh', ['sh', '-c', `exit ${status}`], {})
}

function hasBusyThreads(): boolean {
  return process.getActiveResourcesInfo().some(name => /^(FSReq|FileHandle|GetAddrInfo)/.test(name))
}
