import { setTimeout as sleep } from 'node:timers/promises'
import type { Host } from '../test/lab/lab.ts'
import { port } from './backend.ts'
import type { Trial, Values } from './measure.ts'
import { proportionalBytes } from './process.ts'

/** What open connections without traffic cost each program. They stay open: nothing else is measured in these processes. */
export async function idle({ network, started, idle: wanted }: Trial): Promise<Values> {
  if (started.gateway.program === undefined) return {}
  const memory = () => (['gateway', 'pod'] as const).map(end => proportionalBytes([started[end].program!]))
  const before = memory()
  const { hostname: host } = new URL(started.url)
  await network.client.run(openIdle, { host, wanted })
  const open = await established(network.backend, wanted)
  // What was needed only to open them is given back.
  await sleep(1000)
  const growth = memory().map((bytes, end) => (bytes - before[end]!) / Math.max(open, 1))
  return {
    open,
    gateway: growth[0]! / 1e3,
    pod: growth[1]! / 1e3,
  }
}

/** How many connections have reached the backend, once that is all of them or nothing changes for a while. */
async function established(backend: Host, wanted: number): Promise<number> {
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
async function openIdle({ host, wanted }: { host: string; wanted: number }): Promise<void> {
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
