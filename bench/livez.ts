import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../test/lab/lab.ts'
import type { Values } from './metric.ts'

/** How soon an end says that it is alive while it has more to do than it can: milliseconds, the slowest of all answers. */
export async function livezDuring(end: Host, url: string, load: () => Promise<unknown>): Promise<Values> {
  await end.run(beginAsking, url)
  // Questions before the load begins would only make it look better.
  await sleep(500)
  await end.run(forget)
  await load()
  const { slowest, answers } = await end.run(endAsking)
  return { slowest, answers }
}

// What follows is sent to the end's namespace as text: each function stands alone.

interface Asking {
  slowest: number
  answers: number
  stopped: boolean
}

async function beginAsking(url: string, { state }: { state: Map<string, unknown> }): Promise<void> {
  const { get } = process.getBuiltinModule('node:http')
  const asking: Asking = { slowest: 0, answers: 0, stopped: false }
  state.set('asking', asking)
  const ask = () => {
    if (asking.stopped) return
    const began = performance.now()
    const settle = (ms: number) => {
      asking.slowest = Math.max(asking.slowest, ms)
      asking.answers++
      setTimeout(ask, 50)
    }
    get(url, { agent: false }, response => {
      response.resume().on('end', () => settle(performance.now() - began))
    }).on('error', () => settle(Number.POSITIVE_INFINITY))
  }
  ask()
}

function forget(_: undefined, { state }: { state: Map<string, unknown> }): void {
  Object.assign(state.get('asking') as Asking, { slowest: 0, answers: 0 })
}

function endAsking(_: undefined, { state }: { state: Map<string, unknown> }): Asking {
  const asking = state.get('asking') as Asking
  asking.stopped = true
  return asking
}
