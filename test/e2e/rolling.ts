import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Transfer } from '../lab/load.ts'
import { Pods, type PodsOptions, podNumbers, tunnelAddress } from './pods.ts'

/** Both pods stopped and started one after the other, while clients come all the time. */
export interface Roll {
  readonly options: PodsOptions
  readonly startGateway?: (pods: Pods) => Promise<void>
  /** The gateway sends clients to this pod again. */
  readonly serves: (pods: Pods, pod: 0 | 1) => Promise<void>
  /** Seconds of load at least, with pauses between what is done to the pods. */
  readonly seconds: number
}

const rate = 200
/** Bytes that take a client seconds: less than the drain time. */
const long = 5 << 20

export async function rolling(t: Test, how: 'SIGTERM' | 'SIGKILL', roll: Roll): Promise<void> {
  await using pods = await Pods.start(roll.options, roll.startGateway)
  for (const pod of podNumbers) await roll.serves(pods, pod)
  const began = Date.now()
  const pause = (roll.seconds * 1000) / 5
  await pods.load(rate)
  await sleep(pause)
  const killed: number[] = []
  for (const pod of podNumbers) {
    for (let i = 0; i < 4; i++) await pods.download(long)
    await sleep(500)
    if (how === 'SIGTERM') {
      pods.pods[pod]!.child.kill('SIGTERM')
      t.strictSame(await pods.pods[pod]!.exited, { code: 0, signal: null }, `pod ${pod} ends well`)
    } else {
      killed.push(Date.now())
      await pods.kill(pod)
      await sleep(pause)
    }
    await pods.restart(pod)
    await roll.serves(pods, pod)
    await sleep(pause)
  }
  await sleep(Math.max(0, began + roll.seconds * 1000 - Date.now()))
  const { short, long: downloads } = await pods.finish()
  const failed = short.filter(({ end }) => end !== 'complete')
  t.comment(`${short.length} connections, failed: ${JSON.stringify(failed.map(one => told(one, killed)))}`)
  const expected = ((Date.now() - began) / 1000) * rate
  t.ok(short.length > expected * 0.5, `${short.length} of ${Math.round(expected)} clients came`)
  if (how === 'SIGTERM') {
    t.strictSame(failed, [], 'no new connection is refused or cut')
    t.strictSame(
      downloads.map(({ end }) => end),
      downloads.map(() => 'complete'),
      'downloads that fit in the drain time end whole',
    )
    t.equal(downloads.length, 8)
  } else {
    const late = failed.filter(({ began }) => !killed.some(at => began > at - 1000 && began < at + 1000))
    t.strictSame(late, [], 'new connections fail for a second at most')
  }
}

function told({ began, ended, end }: Transfer, killed: readonly number[]): string {
  const at = killed.map(at => began - at).find(ms => ms > -1000 && ms < 5000)
  return `${end} after ${ended - began} ms${at === undefined ? '' : `, ${at} ms after the kill`}`
}

/** Our own gateway's way to know. */
export async function targetUp(pods: Pods, pod: 0 | 1): Promise<void> {
  await pods.until(({ forwards, links }) => {
    const address = tunnelAddress[pod]
    const target = forwards[0].targets.find((target: { address: string }) =>
      target.address.startsWith(address),
    )
    const link = links.find((link: { address: string }) => link.address === address)
    return target?.state === 'up' && (link === undefined || link.state === 'up')
  })
}

/** The two ends with several targets; `gateway` and `pod` are further YAML. */
export function twoTargets({ gateway = '', pod = '', check = '' } = {}): PodsOptions {
  return {
    gateway: `forwards:
  bytes: { listen: ":9000", target: ["10.1.10.2:9000", "10.1.10.3:9000"], balance: roundrobin${check} }
log: { connections: false }
${gateway}`,
    pod: `forwards:
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
log: { connections: false }
${pod}`,
  }
}
