import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { Host } from '../test/lab/lab.ts'

const run = promisify(execFile)

/** The processor of a gateway that has only one, and that of everything else. */
export interface Apart {
  readonly gateway: number
  readonly others: number
  /** Gives this process its processors back. */
  undo(): Promise<void>
}

/**
 * From now on this process and whatever it starts run on the last processor that it may use; the first one is the gateway's.
 * @throws Error when that is the same
 */
export async function setApart(): Promise<Apart> {
  const all = await affinity()
  const [gateway, others] = endsOf(all)
  if (gateway === others)
    throw new Error(
      'a gateway with one core needs a second processor for everything else; this machine has one',
    )
  await setAffinity(String(others))
  return { gateway, others, undo: () => setAffinity(all) }
}

/** A command that runs the one which follows it on one processor: it sees no other. */
export function runOn(processor: number): string[] {
  return ['taskset', '-c', String(processor)]
}

/** First and last number of a list such as `0-3,6`. */
export function endsOf(list: string): [number, number] {
  const numbers = list.match(/\d+/g)!.map(Number)
  return [numbers[0]!, numbers.at(-1)!]
}

/**
 * Packets that come to a host are handled on its own processor, as on a host of its own: without this the kernel handles
 * them where they were sent.
 */
export async function receiveOn(processor: number, host: Host, devices: readonly string[]): Promise<void> {
  const mask = processorMask(processor)
  for (const device of devices)
    await host.exec('sh', '-c', `echo ${mask} >/sys/class/net/${device}/queues/rx-0/rps_cpus`)
}

/** As sysfs takes it: hexadecimal, in groups of 32 bits. */
export function processorMask(processor: number): string {
  const groups = Array<string>(Math.floor(processor / 32)).fill('00000000')
  return [(2 ** (processor % 32)).toString(16), ...groups].join(',')
}

async function affinity(): Promise<string> {
  const { stdout } = await run('taskset', ['-c', '-p', String(process.pid)])
  return stdout.trim().split(' ').at(-1)!
}

/** Of all threads: the kernel gives a child those of the thread that makes it. */
async function setAffinity(list: string): Promise<void> {
  await run('taskset', ['-a', '-c', '-p', list, String(process.pid)])
}
