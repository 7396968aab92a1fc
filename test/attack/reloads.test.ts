import { queryObjects } from 'node:v8'
import t from 'tap'
import { Forward } from '../../src/forward/forward.ts'
import { Listener } from '../../src/forward/listener.ts'
import { freePort } from '../fixtures/free-port.ts'
import { at, Backend, config, dial, forwarding, links, plan, to } from '../forward/bench.ts'

/** An end that is reloaded again and again keeps nothing of the configs before. */

/** What keeps all else of a config; each question takes a while. */
const kinds = [Listener, Forward]
/** How many there are of each after a full collection. */
const alive = () => kinds.map(kind => queryObjects(kind, { format: 'count' }))

t.test('forwards and listeners of earlier configs are gone from memory', async t => {
  const backend = await Backend.listen(t)
  const ports = await Promise.all(Array.from({ length: 4 }, () => freePort()))
  const linkPort = await freePort()
  const { forwarder, placed } = await forwarding(t, [config(backend.port)], { tunnel: ['127.0.0.1'] })
  const reload = async (i: number) => {
    const peers = ['127.0.0.2', `127.0.0.${3 + (i % 3)}`]
    const forwards = [
      placed[0]!,
      config(backend.port, { name: `name-${i}`, listen: at('127.0.0.1', ports[0]!) }),
      config(backend.port, { name: 'moves', listen: at('127.0.0.1', ports[1 + (i % 3)]!) }),
      config(0, {
        name: 'links',
        listen: at('127.0.0.1', await freePort()),
        upstream: to(at(peers[1]!, 1)),
        sendProxy: 'v2',
      }),
    ]
    const change = await forwarder.prepare(plan(forwards, ['127.0.0.1'], 1, links(linkPort, peers)))
    change.commit()
    const client = dial(ports[0]!)
    const served = await backend.socket()
    client.destroy()
    served.destroy()
  }
  for (let i = 0; i < 3; i++) await reload(i)
  await new Promise(resolve => setTimeout(resolve, 100))
  const few = alive()
  for (let i = 3; i < 30; i++) await reload(i)
  await new Promise(resolve => setTimeout(resolve, 100))
  for (const [i, count] of alive().entries())
    t.ok(count <= few[i]! + 3, `${kinds[i]!.name}: ${few[i]}, after 27 more reloads ${count}`)
})
