import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { endFolder, startEnd } from '../lab/end.ts'
import { Lab } from '../lab/lab.ts'
import { echo } from '../load/echo.ts'

/** Connects at once, asks for one byte and closes. Runs in an agent. */
async function connects({ port, count }: { port: number; count: number }) {
  const { connect } = await import('node:net')
  const one = () =>
    new Promise<boolean>(resolve => {
      const socket = connect({ host: '127.0.0.1', port, autoSelectFamily: false })
      // The kernel's queue is shorter than that: who does not fit tries again, after longer and longer pauses.
      socket.setTimeout(10_000, () => socket.destroy())
      socket.on('error', () => {})
      socket.on('close', () => resolve(false))
      socket.on('connect', () => socket.write('x'))
      socket.on('data', () => {
        socket.destroy()
        resolve(true)
      })
    })
  const served = await Promise.all(Array.from({ length: count }, one))
  return served.filter(isServed => isServed).length
}

t.test('10,000 connects at once, again and again: memory has a highest mark', async t => {
  await using lab = await Lab.create(`q${process.pid}`)
  const host = await lab.host('end')
  const folder = await endFolder(lab, 'end', {
    config: `forwards: { echo: { listen: ":9000", target: "127.0.0.1:9100", sendProxy: false } }
log: { connections: false }
`,
  })
  const end = startEnd(host, folder)
  await end.logged(({ msg }) => msg === 'running')
  await host.run(echo, 9100)
  const files = () => readdirSync(`/proc/${end.pid}/fd`).length
  const memory = () =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${end.pid}/status`, 'utf8'))![1]) / 1024
  const idle = files()
  const marks = [memory()]
  for (let round = 1; round <= 3; round++) {
    const served = await host.run(connects, { port: 9000, count: 10_000 })
    t.ok(served >= 9_000, `${served} are served`)
    while (files() > idle + 3) await sleep(20)
    await sleep(1000)
    marks.push(memory())
  }
  t.comment(`MiB at first and after each: ${marks.map(mark => mark.toFixed(0)).join(', ')}`)
  t.ok(marks.at(-1)! < 200, 'what the runtime keeps for the next ones, and no more with each round')
})
