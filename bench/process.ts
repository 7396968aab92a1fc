import { readdirSync, readFileSync } from 'node:fs'

/** CPU time and memory of processes, from proc(5). One that is gone has used nothing. */

/** Milliseconds of a clock tick: USER_HZ is 100 on every architecture that Node runs on. */
const tick = 10

/** Milliseconds of user and system time, all threads. */
export function cpuTime(pids: readonly number[]): number {
  const ticks = pids.map(pid => {
    // The name, in parentheses, may hold spaces.
    const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ')
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0)
  })
  return sum(ticks) * tick
}

/** Milliseconds that all processors were busy with anything, interrupts included. */
export function machineTime(): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0] = read('/proc/stat')
    .split('\n')[0]!
    .split(/ +/)
    .slice(1)
    .map(Number)
  return (user + nice + system + irq + softirq) * tick
}

/** Bytes resident, shared ones included. */
export function residentBytes(pids: readonly number[]): number {
  return sum(pids.map(pid => kilobytes(read(`/proc/${pid}/status`), 'VmRSS')))
}

/** Bytes resident, shared ones divided by who shares them: how it grows is what a process added. */
export function proportionalBytes(pids: readonly number[]): number {
  return sum(pids.map(pid => kilobytes(read(`/proc/${pid}/smaps_rollup`), 'Pss')))
}

export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`).flatMap(task =>
    read(`/proc/${pid}/task/${task}/children`)
      .split(' ')
      .filter(child => child !== '')
      .map(Number),
  )
}

function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0)
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
