import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../lab/random.ts'
import type { Faults } from '../lab/udp-relay.ts'
import type { ChaosLab } from './chaos.ts'

/** One thing that goes wrong, with all its parameters. */
export interface Fault {
  /** For the person who reads the run. */
  readonly text: string
  /**
   * What it does to transfers that run. `nothing`: they are to arrive whole. `ends`: they may end with an error.
   * `cuts`: a program is killed, and the kernel closes its connections, cleanly when all was read: they may also end
   * too early without an error, which the receiver knows from the length that it expects.
   */
  readonly transfers: 'nothing' | 'ends' | 'cuts'
  inflict(lab: ChaosLab): Promise<void>
}

/** Draws one fault; the same seed gives the same faults. */
export function draw(random: Random): Fault {
  return random.pick(kinds)(random)
}

const ends = ['gateway', 'cluster'] as const
type End = (typeof ends)[number]

const kinds: readonly ((random: Random) => Fault)[] = [
  random => {
    const end = random.pick(ends)
    return {
      text: `kill-wireguard ${end}`,
      transfers: 'nothing',
      inflict: ({ relayed }) => relayed.killChild(end),
    }
  },
  random => programEnds(random, 'SIGKILL'),
  random => programEnds(random, 'SIGTERM'),
  () => ({ text: 'nat-forgets', transfers: 'nothing', inflict: ({ relayed }) => relayed.nat('forget') }),
  () => ({ text: 'port-banned', transfers: 'nothing', inflict: ({ relayed }) => relayed.nat('ban') }),
  random => path(random, 'cut', { cut: true }),
  random => {
    const lost = random.pick(['to-target', 'to-client'] as const)
    // Long enough now and then that it is known, and the ladder is taken.
    return path(random, `lost ${lost}`, { lost }, 25_000)
  },
  random => {
    const percent = random.between(10, 40)
    return path(random, `loss ${percent} %`, { loss: percent / 100 })
  },
  random => {
    const delay = random.between(10, 200)
    return path(random, `delay ${delay} ms`, { delay })
  },
  random => {
    // What WireGuard makes of a packet of the least MTU that IPv6 allows still passes.
    const largest = random.between(1340, 1440)
    return path(random, `mtu-black-hole ${largest} bytes`, { largest })
  },
  random => {
    const end = random.pick(ends)
    const port = random.between(9100, 9199)
    const forward = `  extra: { listen: "127.0.0.1:${port}", target: "127.0.0.1:9000", sendProxy: false }\n`
    return {
      text: `reload ${end} with a forward on ${port}`,
      transfers: 'nothing',
      inflict: lab => changedConfig(lab, end, forward, 'config reloaded'),
    }
  },
  random => {
    const end = random.pick(ends)
    const bad = random.pick(['surprise: true\n', '  : [\n', 'drainTimeout: soon\n'])
    return {
      text: `bad-config ${end} ${JSON.stringify(bad)}`,
      transfers: 'nothing',
      inflict: lab => changedConfig(lab, end, bad, 'config refused, the old one goes on'),
    }
  },
  () => ({ text: 'client-resets', transfers: 'nothing', inflict: ({ load }) => load('reset') }),
  random => {
    const ms = random.between(500, 4000)
    return { text: `stalled-reader ${ms} ms`, transfers: 'nothing', inflict: ({ load }) => load('stall', ms) }
  },
  random => takenAway(random, 'route delete PREFIX dev DEVICE'),
  random => takenAway(random, 'address delete ADDRESS/32 dev DEVICE'),
  random => takenAway(random, random.pick(['link set DEVICE down', 'link delete DEVICE'])),
  random => takenAway(random, `link set DEVICE mtu ${random.between(600, 1270)}`),
  random => {
    const ms = random.between(200, 4000)
    return {
      text: `target-stops ${ms} ms`,
      transfers: 'ends',
      inflict: async ({ target }) => {
        await target('stop')
        await sleep(ms)
        await target('start')
      },
    }
  },
]

/** Another program changes what an end has made of its device, once or a few times. */
function takenAway(random: Random, command: string): Fault {
  const end = random.pick(ends)
  const times = random.pick([1, 1, 3])
  return {
    text: `taken-away ${end}: ${command}, ${times} times`,
    transfers: 'nothing',
    inflict: async ({ relayed }) => {
      const { world } = relayed
      const words = { DEVICE: world.interfaces[end], ADDRESS: tunnelAddress[end], PREFIX: routed[end] }
      for (let time = 0; time < times; time++) {
        const from = relayed[end].log.length
        const line = command.replace(/[A-Z]{4,}/g, word => words[word as keyof typeof words])
        await world[end].exec('ip', ...line.split(' '))
        await relayed[end].logged(isMended, { from, ms: 90_000 })
      }
    },
  }
}

/** By itself; or with a new wireguard-go, where the one that an earlier run left has ended over its first log line. */
function isMended({ msg }: Record<string, unknown>): boolean {
  return msg === 'tunnel device put back' || msg === 'tunnel up'
}

/** As the two wg0.conf have it. */
const tunnelAddress = { gateway: '10.1.10.1', cluster: '10.1.10.2' }
const routed = { gateway: '10.1.10.2/32', cluster: '10.1.10.0/24' }

function programEnds(random: Random, signal: 'SIGTERM' | 'SIGKILL'): Fault {
  const end = random.pick(ends)
  const forgets = random.pick([false, false, true])
  const ms = random.between(0, 2000)
  return {
    text: `${signal} ${end}${forgets ? ', its state lost' : ''}, started after ${ms} ms`,
    transfers: signal === 'SIGKILL' ? 'cuts' : 'ends',
    inflict: async ({ relayed }) => {
      await relayed[end].stop(signal)
      if (forgets) await relayed.forgetState(end)
      await sleep(ms)
      await relayed.restart(end)
    },
  }
}

const calm: Faults = { cut: false, lost: undefined, loss: 0, delay: 0, jitter: 0, largest: 65_535 }

function path(random: Random, what: string, faults: Partial<Faults>, most = 8000): Fault {
  const ms = random.between(1000, most)
  return {
    text: `${what} for ${ms} ms`,
    transfers: 'nothing',
    inflict: async ({ relayed }) => {
      await relayed.faults(faults)
      await sleep(ms)
      await relayed.faults(calm)
    },
  }
}

/** Appends to the config, waits for what the end says of it, and puts the old one back. */
async function changedConfig({ relayed }: ChaosLab, end: End, lines: string, msg: string): Promise<void> {
  const file = join(relayed.world.lab.folder, end, 'config.yaml')
  const before = await readFile(file, 'utf8')
  const from = relayed[end].log.length
  await writeFile(file, before + lines)
  await relayed[end].logged(line => line.msg === msg, { from })
  await writeFile(file, before)
}
