import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Transfer } from '../lab/load.ts'
import { haproxyGateway } from './haproxy-pods.ts'
import { type Pod, Pods, type PodsOptions, podNumbers, tunnelAddress } from './pods.ts'

/**
 * Both pods behind a gateway are stopped and started, one after the other, while 200 new clients come in each second and
 * others download slowly.
 */
export interface Variant {
  readonly name: string
  readonly options: PodsOptions
  /** Resolves when the gateway sends clients to this pod. */
  readonly serves: (pods: Pods, pod: Pod) => Promise<void>
}

const rate = 200

function ours(check: string, link: string): PodsOptions {
  const targets = '["10.1.10.2:9000", "10.1.10.3:9000"]'
  return {
    gateway: `forwards:
  bytes: { listen: ":9000", target: ${targets}, balance: roundrobin, check: ${check} }
log: { connections: false }
${link}`,
    pod: `${podForwards}${link}`,
  }
}

const podForwards = `forwards:
  bytes: { listen: "tunnel:9000", target: "127.0.0.1:9000", sendProxy: false }
log: { connections: false }
`

export const overLinks: Variant = { name: 'over links', options: ours('{}', ''), serves: targetUp }
export const oneByOne: Variant = {
  name: 'connection by connection',
  options: ours('{ interval: 500ms, fall: 2 }', 'link: false\n'),
  serves: targetUp,
}
export const behindHaproxy: Variant = {
  name: 'with HAProxy as the gateway',
  options: { gateway: haproxyGateway.start, pod: podForwards },
  serves: haproxyGateway.serves,
}

/** `seconds` of load for each way to stop them. */
export function rolling(
  t: Test,
  { name, options, serves }: Variant,
  ways: readonly ('SIGTERM' | 'SIGKILL')[],
  seconds: number,
): void {
  t.test(name, { timeout: (60 + 3 * seconds) * 1000 * ways.length }, async t => {
    await using pods = await Pods.start(options)
    for (const pod of podNumbers) await serves(pods, pod)
    for (const way of ways)
      await t.test(way, { timeout: (60 + 3 * seconds) * 1000 }, t => roll(t, pods, way, serves, seconds))
  })
}

async function roll(
  t: Test,
  pods: Pods,
  way: 'SIGTERM' | 'SIGKILL',
  serves: Variant['serves'],
  seconds: number,
): Promise<void> {
  const pause = (seconds * 1000) / 6
  const began = Date.now()
  const clients = await pods.load(rate)
  await sleep(pause)
  const killed: number[] = []
  for (const pod of podNumbers) {
    // Each takes a client seconds: less than the drain time, longer than the pod would live without it.
    for (let i = 0; i < 4; i++) await clients.download(3 << 20)
    await sleep(500)
    if (way === 'SIGTERM') {
      pods.pods[pod]!.child.kill('SIGTERM')
      t.strictSame(await pods.pods[pod]!.exited, { code: 0, signal: null }, `pod ${pod} ends well`)
    } else {
      killed.push(await pods.kill(pod))
      await sleep(pause)
    }
    await pods.restart(pod)
    await serves(pods, pod)
    await sleep(pause)
  }
  await sleep(Math.max(0, began + seconds * 1000 - Date.now()))
  const { short, long } = await clients.finish()
  const failed = short.filter(({ end }) => end !== 'complete')
  t.comment(`${short.length} clients, of which failed: ${summary(failed, killed)}`)
  t.ok(short.length > seconds * rate * 0.5, 'clients came')
  if (way === 'SIGKILL') {
    const late = failed.filter(({ began }) => !killed.some(at => began > at - 1000 && began < at + 1000))
    t.strictSame(late, [], 'new connections fail for a second at most')
    return
  }
  t.strictSame(failed, [], 'no new connection is refused or cut')
  t.strictSame(
    long.map(({ end }) => end),
    Array.from({ length: 8 }, () => 'complete'),
    'downloads that fit in the drain time end whole',
  )
}

/** How many, and for how long after each kill. */
function summary(failed: readonly Transfer[], killed: readonly number[]): string {
  const spans = killed.map(at => {
    const after = failed.map(({ began }) => began - at).filter(ms => ms > -1000 && ms < 2000)
    return `, the last one ${Math.max(0, ...after)} ms after the kill`
  })
  return `${failed.length}${spans.join('')}`
}

async function targetUp(pods: Pods, pod: Pod): Promise<void> {
  const address = tunnelAddress[pod]
  await pods.until(({ forwards, links }) => {
    const target = forwards[0].targets.find(
      (target: { address: string }) => target.address === `${address}:9000`,
    )
    const link = links.find((link: { address: string }) => link.address === address)
    return target.state === 'up' && (link === undefined || link.state === 'up')
  })
}
