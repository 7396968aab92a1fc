import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../test/lab/lab.ts'
import { port } from './backend.ts'
import type { Trial } from './contender.ts'
import type { Values } from './metric.ts'
import { proportionalBytes } from './process.ts'

/**
 * What open connections without traffic cost each program: each of them, with what is needed once for the first, and each
 * further one, of the second half. They stay open: nothing else is measured in these processes.
 */
export async function idle({ network, started, idle: wanted }: Trial): Promise<Values> {
  if (started.gateway.program === undefined || started.url === undefined) return {}
  const ends = [started.gateway.program, started.pod.program!]
  const { hostname: host } = new URL(started.url)
  const memory = () => ends.map(pid => proportionalBytes([pid]))
  const openUpTo = async (from: number, to: number) => {
    await network.client.run(openIdle, { host, wanted: to - from })
    const open = await established(network.backend, to)
    // What was needed only to open them is given back.
    await sleep(1000)
    return { open, memory: memory() }
  }
  const none = { open: 0, memory: memory() }
  const half = await openUpTo(0, wanted >> 1)
  const all = await openUpTo(wanted >> 1, wanted)
  const each = (from: typeof none, end: number) =>
    (all.memory[end]! - from.memory[end]!) / 1e3 / Math.max(all.open - from.open, 1)
  return {
    open: all.open,
    gateway: each(none, 0),
    pod: each(none, 1),
    'further.gateway': each(half, 0),
    'further.pod': each(half, 1),
  }
}

/** How many connections have reached the backend, once that is all of them or nothing changes for a while. */
export async function established(backend: Host, wanted: number): Promise<number> {
  const filter = `( sport = :${port.proxy} or sport = :${port.plain} )`
  let open = 0
  for (let quiet = 0; quiet < 10; ) {
    await sleep(100)
    const lines = (await backend.exec('ss', '-Htn', 'state', 'established', filter)).split('\n')
    const now = lines.filter(line => line !== '').length
    if (now >= wanted) return now
    quiet = now === open ? quiet + 1 : 0
    open = now
  }
  return open
}

/** Is sent to the client's namespace as text, and stands alone. */
export async function openIdle({ host, wanted }: { host: string; wanted: number }): Promise<void> {
  const { connect } = await import('node:net')
  const { promise, resolve } = Promise.withResolvers<void>()
  let left = wanted
  let pending = 0
  const next = () => {
    if (left === 0 && pending === 0) resolve()
    if (left === 0) return
    left--
    pending++
    const socket = connect({ host, port: 80, autoSelectFamily: false })
    const settled = () => {
      pending--
      next()
    }
    socket.once('connect', () => {
      socket.off('error', settled).on('error', () => {})
      settled()
    })
    socket.once('error', settled)
  }
  for (let i = 0; i < 16; i++) next()
  // Some accept their last thousands one every few seconds; what is open by then is what is measured.
  const deadline = setTimeout(() => {
    left = 0
    resolve()
  }, 60_000)
  await promise
  clearTimeout(deadline)
}
