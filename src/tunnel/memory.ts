import { readFileSync } from 'node:fs'

/** The memory of wireguard-go: its packet buffers have no bound of their own. All in bytes. */

/** What Go's collector is told to stay below (GOMEMLIMIT): half of what both processes may use. */
export function softLimit(limit: number): number {
  return Math.floor(limit / 2)
}

/**
 * What wireguard-go must not reach: GOMEMLIMIT is a wish, and where the kernel's OOM killer has to choose, it may
 * choose the other process. Ending wireguard-go costs no connection.
 */
export function hardLimit(limit: number): number {
  return Math.floor(limit * 0.75)
}

/** Resident memory of a process; `undefined` when there is none. */
export function residentBytes(pid: number): number | undefined {
  // statm counts pages, whose size Node does not tell.
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(statusOf(pid))?.[1]
  return kilobytes === undefined ? undefined : Number(kilobytes) * 1024
}

/** Here and now: the kernel makes the text from memory, and to wake other threads for it once a second costs more. */
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'latin1')
  } catch {
    return ''
  }
}
