import t from 'tap'
import { adminWorld, flooded, get } from './admin-flood.ts'

/** Pipelined requests for what takes time and memory to make, from a client on loopback and from one that is none. */
const world = await adminWorld()
t.teardown(() => world.lab.close())

for (const reads of [true, false])
  t.test(`pipelined requests, ${reads ? 'read' : 'not read'}`, async t => {
    const flood = { connections: 60, times: 100, reads, ms: 1000 }
    await flooded(t, world, 'pipelined', [
      { ...flood, from: 'crowd', text: get('/metrics') },
      { ...flood, from: 'gateway', text: get('/status.json') },
    ])
  })
