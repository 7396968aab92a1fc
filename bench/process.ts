import { readdirSync, readFileSync } from 'node:fs'

/** CPU time and memory of processes, from proc(5). One that is gone has used nothing. */

/** Milliseconds of a clock tick: USER_HZ is 100 on every architecture that Node runs on. */
export const tick = 10

/** What threads did, in milliseconds. */
export interface Work {
  /** On a processor; to the nanosecond but for threads that run at this moment. */
  readonly run: number
  /** Waiting for a processor while ready to run. */
  readonly wait: number
  /** The part of `run` in the program, and that in the kernel; to 10 ms. */
  readonly user: number
  readonly system: number
}

/** Of all threads of all these. */
export function workOf(pids: readonly number[]): Work {
  const threads = pids.flatMap(pid =>
    list(`/proc/${pid}/task`).map(thread => parseSchedstat(read(`/proc/${pid}/task/${thread}/schedstat`))),
  )
  const processes = pids.flatMap(pid => parseStat(read(`/proc/${pid}/stat`)) ?? [])
  return {
    run: sum(threads.map(({ run }) => run)),
    wait: sum(threads.map(({ wait }) => wait)),
    user: sum(processes.map(({ user }) => user)),
    system: sum(processes.map(({ system }) => system)),
  }
}

/** Of a thread's `schedstat`. */
export function parseSchedstat(text: string): Pick<Work, 'run' | 'wait'> {
  const [run = 0, wait = 0] = text.trim().split(' ').map(Number)
  return { run: run / 1e6, wait: wait / 1e6 }
}

/** A line of the process table; times in milliseconds. */
export interface Process {
  readonly pid: number
  readonly parent: number
  readonly user: number
  readonly system: number
  /** Of all children that have ended, and of theirs. */
  readonly ended: number
}

/** Of a process's `stat`; undefined when it was gone already. */
export function parseStat(text: string): Process | undefined {
  // The name, in parentheses, may hold spaces and parentheses.
  const end = text.lastIndexOf(')')
  if (end === -1) return undefined
  const fields = text
    .slice(end + 2)
    .split(' ')
    .map(Number)
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(ticks => ticks * tick)
  return {
    pid: Number.parseInt(text, 10),
    parent: fields[1]!,
    user: user!,
    system: system!,
    ended: endedUser! + endedSystem!,
  }
}

/** Every process that this one can see. */
export function allProcesses(): Process[] {
  const pids = list('/proc').filter(name => /^\d+$/.test(name))
  return pids.flatMap(pid => parseStat(read(`/proc/${pid}/stat`)) ?? [])
}

/** All processors together, in milliseconds. */
export interface MachineTime {
  readonly processors: number
  readonly idle: number
  /** What the hypervisor gave to others. */
  readonly steal: number
}

export function machineTime(): MachineTime {
  return parseMachine(read('/proc/stat'))
}

/** Of `/proc/stat`. Idle time is exact to a tick, unlike the busy kinds, which are guessed from where a tick found a processor. */
export function parseMachine(text: string): MachineTime {
  const lines = text.split('\n')
  const [, , , idle = 0, wait = 0, , , steal = 0] = lines[0]!.split(/ +/).slice(1).map(Number)
  return {
    processors: lines.filter(line => /^cpu\d/.test(line)).length,
    idle: (idle + wait) * tick,
    steal: steal * tick,
  }
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

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
